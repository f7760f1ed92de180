"""Opens the page in a browser: nothing overflows or complains, and links open their targets."""

import pytest

from tests.study.report import browser

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
    assert [request for request in page.requests if not request.startswith("data:")] == [address]


@pytest.mark.parametrize("width", WIDTHS)
def test_plots_fit_and_are_legible(opened, width):
    page = opened(width)
    sizes = page.evaluate(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        ".map(r => [r.width, r.height])"
    )
    assert len(sizes) == 19
    # They are drawn 331 points wide, with letters of 9 and 10 points.
    assert min(width for width, _ in sizes) > 331
    assert all(150 < height < 800 for _, height in sizes)


def test_a_number_opens_its_trials(opened):
    page = opened("phone")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.evaluate("document.querySelector('td a[href*=\"stability-sweep\"]').click()")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 1
    assert page.evaluate("document.querySelector(':target').closest('details').open") is True
    # The page's script does so in browsers that do not open them by themselves.
    page.evaluate(
        "document.querySelector('details[open]').open = false,"
        "dispatchEvent(new Event('hashchange'))"
    )
    assert page.evaluate("document.querySelector(':target').closest('details').open") is True


def test_an_address_with_an_anchor_opens_its_trials(opened):
    page = opened("desktop", "#trials-cost-step-resnet50-bn")
    assert page.evaluate(
        "[...document.querySelectorAll('details[open] summary')].map(s => s.textContent)"
    ) == ["cost, step: bn on resnet50, 1 trial"]
