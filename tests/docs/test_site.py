"""Opens the pages of the site, which `nox -s docs` has built, in a browser."""

import functools
import http.server
import os
import pathlib
import threading
import time

import pytest

from tests import browser

SITE = os.environ.get("KERAS_WN_SITE")
pytestmark = [
    pytest.mark.skipif(SITE is None, reason="the site is built by nox -s docs"),
    pytest.mark.skipif(browser.PATH is None, reason="no chromium or google-chrome is installed"),
]
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def address():
    """The address of a server of the site, without which a browser searches nothing."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def pages():
    found = pathlib.Path(SITE or ".").rglob("*.html") if SITE else []
    # The report has tests of its own, and the page of missing pages has no content.
    return sorted(p for p in found if p.name not in ("404.html", "report.html"))


def until(page, expression):
    """The value of an expression, as soon as it is true."""
    deadline = time.monotonic() + 30
    while not (value := page.evaluate(expression)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_overflows_complains_or_loads_from_elsewhere(address, width):
    assert len(pages()) > 20
    with browser.Browser(seconds=300) as page:
        for path in pages():
            name = path.relative_to(SITE).as_posix()
            page.open(address + name, *WIDTHS[width])
            assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0], name
            assert page.evaluate("document.querySelectorAll('article h1').length") == 1, name
            broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
            assert page.evaluate(broken) == 0, name
            assert page.complaints == [], name
            assert all(url.startswith((address, "data:")) for url in page.requests), name


def test_search_finds_a_layer_and_a_guide(address):
    with browser.Browser() as page:
        page.open(address + "index.html", *WIDTHS["desktop"])
        page.evaluate("document.querySelector('.md-search__input').focus()")
        for text, wanted in [("WNConv2DTranspose", "api/layers.html"), ("Addons", "coming_from/")]:
            page.evaluate(
                "(box => {box.value = '" + text + "';"
                "box.dispatchEvent(new Event('keyup', {bubbles: true}))})"
                "(document.querySelector('.md-search__input'))"
            )
            links = "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href)"
            assert until(page, f"{links}.some(link => link.includes('{wanted}'))"), text


def test_code_is_copied_without_prompts_and_results(address):
    with browser.Browser() as page:
        page.open(address + "guides/layers.html", *WIDTHS["desktop"])
        # As the theme's button reads it.
        copied = page.evaluate(
            "(code => {code.setAttribute('data-md-copying', ''); return code.innerText})"
            "([...document.querySelectorAll('code')].find(c => c.innerText.includes('allclose')))"
        )
    assert ">>>" not in copied and "True" not in copied
    compile(copied, "copied", "exec")
