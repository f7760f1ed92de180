"""Writes the report of made-up records."""

import html.parser
import pathlib
import random
import re

import pytest

from keras_wn import study
from keras_wn.study import claims, report
from keras_wn.study.results import Results
from keras_wn.training import files
from tests.study import made_up_log as made_up

HOSTILE = "<script>alert('x')</script> | `a` [b](c) \\ & \"quoted\" $HOME $x_1^2$"


class Page(html.parser.HTMLParser):
    """Collects the parts of a page that the tests check."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.targets, self.addresses, self.headings, self.tags, self.text = (
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        for key in ("href", "xlink:href", "src"):
            if key in found:
                (self.targets if found[key].startswith("#") else self.addresses).append(found[key])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(written):
    return Page((written / "report.html").read_text())


def few():
    """Returns records whose report is made quickly."""
    return made_up.log(made_up.cost({"none": 1.0, "bn": 1.3}), made_up.accuracy({"bn": 0.9}))


def test_every_link_has_a_target_and_every_id_is_unique(page):
    assert len(page.targets) > 100
    assert {target[1:] for target in page.targets} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    text = "".join(str(attributes) for _, attributes in page.tags)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)


def test_the_page_needs_nothing_else(page):
    assert all(address.startswith(("https://arxiv.org/", "data:,")) for address in page.addresses)
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "iframe", "object", "embed"})
    assert not [
        a
        for tag, a in page.tags
        if tag in ("script", "link") and a.get("src", a.get("href", "data:,")) != "data:,"
    ]


def test_the_page_can_be_read_by_all(page):
    tags = dict(page.tags)
    assert tags["html"]["lang"] == "en"
    assert (
        "meta",
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ) in page.tags
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(
        later - earlier <= 1
        for earlier, later in zip(page.headings, page.headings[1:], strict=False)
    )
    plots = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(plots) == 19
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_every_number_of_a_table_leads_to_its_trials(page, records):
    trials = {record["id"] for record in records if record["kind"] == "trial"}
    assert {f"trial-{trial}" for trial in trials} <= set(page.ids)
    linked = {target for target in page.targets if target.startswith("#trial")}
    for part in (
        "accuracy-final",
        "accuracy-tune",
        "stability-sweep",
        "regularization-grid",
        "signal-drift",
        "cost-step",
    ):
        assert any(part in target for target in linked), part


def test_both_files_say_the_same_verdicts(records, written, page):
    verdicts = claims.judge(Results.from_records(records))
    chips = [attributes["class"] for tag, attributes in page.tags if tag == "strong"]
    assert len(chips) == len(verdicts) == 6
    text = " ".join("".join(page.text).split())
    markdown = (written / "report.md").read_text()
    rows = re.findall(r"^\| (C\d)\. .*? \| \*\*(.*?)\*\*<br>", markdown, flags=re.MULTILINE)
    assert rows == [(claim.key, verdict.outcome) for claim, verdict in verdicts.items()]
    for claim, verdict in verdicts.items():
        assert verdict.reason in text
        assert verdict.reason.replace("_", r"\_") in markdown
        assert all(reported.source in text for reported in claim.reported)


def test_markdown_shows_existing_figures(written):
    text = (written / "report.md").read_text()
    shown = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(shown) == 19
    assert {str(path.relative_to(written)) for path in written.glob("figures/*")} == set(shown)
    anchors = {anchor for anchor in re.findall(r"\(report\.html#([^)]+)\)", text)}
    assert anchors <= set(Page((written / "report.html").read_text()).ids)


def test_the_page_has_the_protocol_with_its_numbers(page):
    text = " ".join("".join(page.text).split())
    for words in (
        "500 training images, drawn anew by each seed, 250 for validation, 250 for test",
        "10 % of the training labels are wrong",
        "20 epochs of batches of 32",
        "Each method has the same number of trials, 8",
        "statistics of the whole batch in training, and moving averages at inference",
        "so that one is 0.4 points",
        "compare.py --out=/very_long_name",
        "keras 3.15.0",
        "449 trials: 397 finished, 51 diverged, 1 crashed.",
    ):
        assert words in text, words


def test_suites_without_trials_are_said_to_be_not_measured(tmp_path):
    page, markdown = report.write(made_up.log(), tmp_path)
    for suite in ("accuracy", "stability", "regularization", "signal", "cost"):
        assert f"Not measured: there are no trials of the suite {suite}." in page.read_text()
    assert markdown.read_text().count("**not measured**") == 6


def test_one_seed_has_numbers_and_no_intervals(tmp_path):
    records = made_up.log(
        made_up.accuracy({"bn": 0.9, "wn": 0.95}, seeds=1),
        made_up.stability({"bn": 1.28, "wn": 0.08}, seeds=1, models=made_up.MODELS[:1]),
        made_up.regularization({"wn": 0.9}, seeds=1),
        made_up.signal({"wn": 2.0}, seeds=1),
        made_up.cost({"none": 1.0, "bn": 1.3, "wn": 1.0}, rounds=1),
    )
    markdown = report.write(records, tmp_path)[1].read_text()
    assert markdown.count("**not decidable at this scale**") == 6
    assert r"+5.0 \[no interval\]" in markdown


def test_all_diverged_and_all_crashed(tmp_path):
    records = made_up.log(
        made_up.accuracy({"bn": 0.9, "wn": 0.9}),
        made_up.stability({"bn": 0.001}),
        made_up.signal({"wn": 1.0}),
    )
    for record in records:
        if record["kind"] == "trial" and record["spec"]["method"] == "bn":
            record.update(
                status="diverged",
                final={s: {"loss": None, "top1": None} for s in record["final"]},
                curves={},
                signal=[],
            )
        elif record["kind"] == "trial":
            record.update(status="crashed", error="out of memory", final={}, curves={}, signal=[])
    page = report.write(records, tmp_path)[0].read_text()
    assert "5 (5 diverged)" in page
    assert "5 (5 crashed)" in page
    assert "out of memory" in page


def test_hostile_texts_stay_texts(tmp_path):
    records = few()
    trial = made_up.trial(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        9,
        status="crashed",
        error=HOSTILE,
        model=HOSTILE,
        process=HOSTILE,
    )
    tuned = made_up.trial(
        "accuracy", "tune", HOSTILE, 9, final={"validation": 0.5}, number=0, round=0
    )
    trial["id"] = HOSTILE
    command = {
        **made_up.PROCESS,
        "id": "p1",
        "command": HOSTILE,
        "machine": {HOSTILE: HOSTILE},
        "commit": HOSTILE,
    }
    records[0] = {**made_up.PROTOCOL, "dataset": HOSTILE, "model": HOSTILE}
    written = report.write([*records, trial, tuned, command], tmp_path)
    page, markdown = (path.read_text() for path in written)
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert "<script>" not in re.sub(
        r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown
    )  # Except in code, which is no HTML.
    parsed = Page(page)
    assert HOSTILE in "".join(parsed.text)
    assert all(re.fullmatch(r"[\w.-]+", identity) for identity in parsed.ids)
    assert {target[1:] for target in parsed.targets} <= set(parsed.ids)
    # An unescaped bar in a cell would start another column.
    for block in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_same_trials_give_the_same_bytes(tmp_path):
    records = few()
    for name, lines in (("a", records), ("b", random.Random(0).sample(records, len(records)))):
        report.write(lines, tmp_path / name)
    written = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(written) == 2 + 9
    for path in written:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_a_disk_that_is_full_leaves_the_old_report(tmp_path, monkeypatch):
    page, _ = report.write(made_up.log(), tmp_path)
    before = page.read_bytes()

    def full(temporary, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "move", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(few(), tmp_path)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures",
        "report.html",
        "report.md",
    ]


def test_nothing_here_needs_keras():
    imports = re.compile(r"^\s*(?:import|from) (?:keras|tensorflow|jax|torch)\b", re.MULTILINE)
    folder = pathlib.Path(study.__path__[0])
    names = (
        "table",
        "statistics",
        "accuracy",
        "stability",
        "cost",
        "results",
        "verdicts",
        "claims",
    )
    names += ("formatting", "canvas", "figures")
    sources = [*(folder / f"{name}.py" for name in names), *(folder / "report").rglob("*.py")]
    assert [path.name for path in sources if imports.search(path.read_text())] == []


def test_records_that_are_no_log_are_refused(tmp_path):
    with pytest.raises(ValueError, match="protocol"):
        report.write(made_up.cost({"none": 1.0}), tmp_path)
