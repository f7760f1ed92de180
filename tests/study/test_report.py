"""Writes the report of made-up records."""

import dataclasses
import html.parser
import random
import re

import pytest

from keras_wn.study import questions, report, trial_lists
from keras_wn.study.questions import SUITES
from keras_wn.study.records import table_of
from keras_wn.training import files
from tests.study.made_up import DECISIVE, World, log

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
    """Records whose report is made quickly."""
    return log(World(), ("cost",))


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
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert set(page.headings[1:]) == {2}
    plots = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(plots) > 20
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_every_number_of_a_table_leads_to_its_trials(page, records):
    trials = [record for record in records if record["kind"] == "trial"]
    assert {trial_lists.row_of(trial["id"]) for trial in trials} <= set(page.ids)
    linked = {target for target in page.targets if target.startswith("#trials-")}
    titles = [text for text in page.text if ": " in text and "trial" in text]
    for suite in SUITES:
        assert any(title.startswith(suite) for title in titles), suite
    assert len(linked) > 30


def test_both_files_say_the_same_findings_and_verdicts(records, written, page):
    trials = table_of(records)
    judged = questions.judge(trials)
    text = " ".join("".join(page.text).split())
    markdown = (written / "report.md").read_text()
    sentences = questions.findings(judged)
    assert len(sentences) == 6
    for sentence in sentences:
        assert sentence in text and sentence.endswith((".", "%"))
        assert escaped(sentence) in markdown
    rows = re.findall(r"^## (C\d)\. .*\n\n\*\*(.*?)\*\*", markdown, flags=re.MULTILINE)
    assert rows == [(claim.key, verdict.outcome) for claim, verdict in judged.items()]
    for claim, verdict in judged.items():
        assert verdict.reason in text and escaped(verdict.reason) in markdown
        assert all(reported.source in text for reported in claim.reported)


def escaped(text):
    return re.sub(r"([\\`*_{}\[\]<>|#~$&])", r"\\\1", text)


def test_markdown_shows_existing_figures(written):
    text = (written / "report.md").read_text()
    shown = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert {str(path.relative_to(written)) for path in written.glob("figures/*")} == set(shown)
    assert len(shown) > 20
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_page_has_the_plan_with_its_numbers(page):
    text = " ".join("".join(page.text).split())
    for words in (
        "128 training images, drawn anew by each seed, 250 to validate, 1,000 to test",
        "10 % of the training labels are wrong",
        "3 epochs of batches of 32",
        "3 settings a method and 2 seeds of each",
        "10 fresh seeds, with looks at 5 and 10",
        "equal within a margin if two one-sided tests say so",
        "compare.py --out=/very_long_name",
        "keras 3.15.0",
        "1 crashed",
    ):
        assert words in text, words


def test_the_page_tells_the_rungs_of_a_search(tmp_path):
    tuning = dataclasses.replace(DECISIVE.tuning, rungs=((1, 3), (2, 2), (3, 1)))
    protocol = DECISIVE.changed(tuning=tuning)
    page, _ = report.write(log(World(), ("accuracy",), protocol=protocol), tmp_path)
    words = "All of them are trained for 1 epochs, then the best 2 for 2, then the best 1 for 3."
    assert words in " ".join(page.read_text().split())


def test_suites_without_trials_are_said_to_be_not_measured(tmp_path):
    page, markdown = report.write(log(World(), ()), tmp_path)
    assert markdown.read_text().count("**not measured**") == 7
    assert page.read_text().count("was not measured in this study") == 6


def test_a_study_in_its_first_minutes_has_a_report(tmp_path):
    protocol, process, *trials = log(World())
    first = {}
    for record in trials:
        first.setdefault((record["spec"]["suite"], record["spec"]["stage"]), record)
    markdown = report.write([protocol, process, *first.values()], tmp_path)[1].read_text()
    assert "**holds**" not in markdown and "**fails**" not in markdown


def test_all_diverged_and_all_crashed(tmp_path):
    records = log(World(), ("accuracy", "stability", "signal"))
    for record in records:
        if record["kind"] == "trial" and record["spec"]["method"] == "bn":
            record.update(status="diverged", final={}, curves={}, signal=[], correct=None)
        elif record["kind"] == "trial":
            record.update(
                status="crashed", error="no memory", final={}, curves={}, signal=[], correct=None
            )
    page = report.write(records, tmp_path)[0].read_text()
    assert "10 diverged" in page and "10 crashed" in page and "no memory" in page


def test_hostile_texts_stay_texts(tmp_path):
    protocol, process, *trials = few()
    spec = {**trials[0]["spec"], "suite": HOSTILE, "method": HOSTILE, "model": HOSTILE}
    spec["options"] = [[HOSTILE, HOSTILE]]
    hostile = {**trials[0], "id": HOSTILE, "spec": spec, "status": "crashed", "error": HOSTILE}
    command = {
        **process,
        "id": "p1",
        "command": HOSTILE,
        "machine": {"processor": HOSTILE, "cores": HOSTILE},
        "commit": HOSTILE,
    }
    protocol = {**protocol, "dataset": HOSTILE, "data": HOSTILE}
    written = report.write([protocol, process, command, *trials, hostile], tmp_path)
    page, markdown = (path.read_text() for path in written)
    assert "<script>alert" not in page and page.count("<script>") == 1
    # Except in code, which is no HTML.
    code = r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)"
    assert "<script>" not in re.sub(code, "", markdown)
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
    assert len(written) > 3
    for path in written:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_a_disk_that_is_full_leaves_the_old_report(tmp_path, monkeypatch):
    page, _ = report.write(log(World(), ()), tmp_path)
    before = page.read_bytes()

    def full(temporary, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(few(), tmp_path)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures",
        "report.html",
        "report.md",
    ]


def test_records_that_are_no_log_are_refused(tmp_path):
    with pytest.raises(ValueError, match="protocol"):
        report.write(few()[1:], tmp_path)


def test_limits_beyond_the_grid_are_bounds_without_an_interval():
    records = log(World(limits={"bn": 8.0, "wn": 0.0005, "normprop": 1e9}), ("stability",))
    text = report.render(report.build(records), "report.md.j2").replace("\\", "")
    rows = [line for line in text.splitlines() if re.match(r"\| (bn|wn|normprop), cifar", line)]
    found = {row.split(",")[0].strip("| "): row.split("|")[2].strip() for row in rows}
    assert found["wn"].startswith("at most 0.00") and "[" not in found["wn"]
    assert found["normprop"].startswith("at least ") and "[" in found["bn"]
    # So are the numbers of the claim, and those of its sentence.
    number = r"[\d.e]+×"
    (sentence,) = re.findall(r"^4\. Stability.*", text, re.MULTILINE)
    assert re.search(rf"only smaller .* with wn \(at least {number}\) and wn_trelu", sentence)
    assert re.search(rf"; larger .* train with normprop \(at least {number}\)", sentence)
    rows = dict(re.findall(r"^\| (\w+) \| largest stable .*? \| (.*?) \|", text, re.MULTILINE))
    assert rows["wn"].startswith("at least ") and rows["normprop"].startswith("at most ")
    assert "[" in rows["wn_trelu"]


def test_a_seed_without_a_limit_is_counted():
    records = log(World(), ("stability",))
    for record in records:
        if record["kind"] == "trial" and (record["spec"]["method"], record["spec"]["seed"]) == (
            "wn",
            0,
        ):
            record["status"] = "crashed"
    text = report.render(report.build(records), "report.md.j2")
    rows = [line for line in text.splitlines() if line.startswith("| wn, cifar")]
    assert rows and all("(1 without a limit)" in row for row in rows)
