"""The documentation site: built without a warning, and every page opened on a screen and on a phone."""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.browser
WIDTHS = (1366, 390)
ABORTED = "net::ERR_ABORTED"
# The page's width, and what cannot be shown: images that did not load, and content outside that no box scrolls.
FAULTS = """() => {
    const width = document.documentElement.clientWidth
    const scrolls = '.md-typeset__scrollwrap, pre, .equation, p:has(> img)'
    const outside = [...document.querySelectorAll('.md-content *')].filter(
        element => element.getBoundingClientRect().right > width + 1 && !element.closest(scrolls))
    return {
        overflow: document.documentElement.scrollWidth - width,
        broken: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
        outside: outside.map(element => element.outerHTML.slice(0, 80)),
    }
}"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, as `make docs` builds it."""
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_and_load_everything_from_the_site(site, address, browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 900})
    failed = []
    # A page that is left aborts what it still loads.
    tab.on("requestfailed", lambda request: failed.append(request.url) if request.failure != ABORTED else None)
    tab.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    tab.on("request", lambda request: None if is_local(request.url, address) else failed.append(request.url))
    tab.on("pageerror", lambda error: failed.append(str(error)))
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        tab.goto(f"{address}/{page}", wait_until="networkidle")
        faults = tab.evaluate(FAULTS)
        assert faults == {"overflow": 0, "broken": [], "outside": []}, page
        assert failed == [], page


def is_local(url, address):
    return url.startswith((address, "data:", "blob:"))


def test_equations_are_drawn(address, browser):
    tab = browser.new_page()
    tab.goto(f"{address}/method.html")
    heights = tab.evaluate("() => [...document.querySelectorAll('math')].map(math => math.clientHeight)")
    assert len(heights) > 20 and all(height > 10 for height in heights)
    assert tab.locator(".md-content").inner_text().count("\\") == 0


def test_search_finds_a_page(address, browser):
    tab = browser.new_page(viewport={"width": 1366, "height": 900})
    tab.goto(f"{address}/index.html")
    tab.get_by_placeholder("Search").fill("contrastive")
    tab.locator(".md-search-result__link").first.wait_for()
    assert "contrastive" in tab.locator(".md-search-result__list").inner_text().lower()
