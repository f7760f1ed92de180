"""Opens the page in a browser: nothing overflows or complains, and links open their targets."""

import itertools
import json
import re

import pytest

from keras_wn.study import report
from tests import browser

pytestmark = pytest.mark.skipif(
    browser.PATH is None, reason="neither chromium nor google-chrome is installed"
)

WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def address(written):
    return (written / "report.html").as_uri()


@pytest.fixture(scope="module")
def opened(address):
    """Function that opens the page afresh at one of `WIDTHS`, and returns the browser."""
    with browser.Browser() as found:

        def open_at(name, anchor=""):
            found.open("about:blank", *WIDTHS[name])
            found.complaints.clear()
            found.requests.clear()
            found.open(address + anchor, *WIDTHS[name])
            return found

        yield open_at


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_nothing_complains(opened, width, address):
    page = opened(width)
    assert page.evaluate("innerWidth") == WIDTHS[width][0]
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    # With all trials unfolded, too.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    assert page.complaints == []
    assert [planner for planner in page.requests if not planner.startswith("data:")] == [address]


@pytest.mark.parametrize("width", WIDTHS)
def test_plots_fit_and_are_legible(opened, width):
    page = opened(width)
    sizes = page.evaluate(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        ".map(r => [r.width, r.height])"
    )
    assert len(sizes) > 20
    # They are drawn 331 or 461 points wide, with letters of 9 and 10 points.
    assert min(width for width, _ in sizes) > 331
    assert all(60 < height < 800 for _, height in sizes)


def test_a_number_opens_its_trials(opened):
    page = opened("phone")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.evaluate("document.querySelector('#c6 td a').click()")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 1
    assert page.evaluate("document.querySelector(':target').closest('details').open") is True
    # The page's script does so in browsers that do not open them by themselves.
    page.evaluate(
        "document.querySelector('details[open]').open = false,"
        "dispatchEvent(new Event('hashchange'))"
    )
    assert page.evaluate("document.querySelector(':target').closest('details').open") is True


def test_an_address_with_an_anchor_opens_its_trials(opened):
    page = opened("desktop", "#trials-1")
    found = page.evaluate(
        "[...document.querySelectorAll('details[open] summary')].map(s => s.textContent)"
    )
    assert found == ["accuracy, tune: none on cifar_resnet8, batch of 32, 128 images: 7 trials"]


def test_the_first_screen_has_the_findings_and_the_plot(opened):
    page = opened("desktop")
    bottoms = page.evaluate(
        "[...document.querySelectorAll('header ol li, header svg')]"
        ".map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) == 7 and max(bottoms) < WIDTHS["desktop"][1]


def test_dark_pages_are_dark(opened):
    page = opened("desktop")
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    colors = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    back, ink = (sum(map(int, re.findall(r"\d+", color)[:3])) for color in colors)
    page.call("Emulation.setEmulatedMedia", features=[])
    assert back < 120 and ink > 600


HOSTILE = (
    "x\"><img src=q onerror=\"document.title='X'\"><script>document.title='X'</script>",
    "a/../../../../x",
    r"\q\1 $x^2$ --> ]]>",
    "javascript:document.title='X'",
)


@pytest.fixture(scope="module")
def hostile(records, tmp_path_factory):
    """The report of a log that the check of records would refuse: two walls are better than one."""
    changed = json.loads(json.dumps(records))
    texts = itertools.cycle(HOSTILE)
    for record in changed:
        if record["kind"] == "trial" and record["spec"]["suite"] in ("regularization", "signal"):
            if record["spec"]["method"] == "wn":
                record["spec"]["method"] = HOSTILE[record["spec"]["seed"] % len(HOSTILE)]
            record |= {"id": record["id"] + next(texts), "process": next(texts)}
            record |= {"error": next(texts), "status": next(texts)}
            record["spec"]["stage"] += next(texts) if record["spec"]["seed"] == 1 else ""
        elif record["kind"] == "process":
            record |= {"command": next(texts), "commit": next(texts), "backend": next(texts)}
            record["machine"] |= {"processor": next(texts)}
        elif record["kind"] == "benchmark":
            record["title"] = record["rows"][0]["name"] = next(texts)
        elif record["kind"] == "protocol":
            record |= {"data": next(texts), "dataset": next(texts)}
            record["planned"]["rules"]["all"] = next(texts)
    folder = tmp_path_factory.mktemp("a") / "b" / "c" / "d" / "report"
    report.write(changed, folder)
    return folder


def test_hostile_values_run_no_script_and_leave_the_folder_alone(hostile):
    top = hostile.parents[3]
    assert {path.name for path in hostile.iterdir()} == {"report.html", "report.md", "figures"}
    assert [p for p in top.rglob("*") if hostile not in (p, *p.parents) and p.is_file()] == []
    names = [path.name for path in (hostile / "figures").iterdir()]
    assert names and all(re.fullmatch(r"[a-z0-9_]+\.png", name) for name in names)
    with browser.Browser() as page:
        page.open((hostile / "report.html").as_uri(), *WIDTHS["desktop"])
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.title").startswith("Weight normalization against")
        assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
        assert page.evaluate("document.querySelectorAll('script').length") == 1
        on = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        assert [name for name in page.evaluate(on) if name.startswith("on")] == []
        links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.protocol)")
        assert set(links) <= {"file:", "https:"}
        assert page.complaints == [] and len(page.requests) <= 2
        # The texts are shown as they are.
        assert HOSTILE[0] in page.evaluate("document.body.textContent")
