"""The page in a real browser: nothing is requested, nothing overflows, every figure is seen.

Needs playwright, which the extra `dev` brings with a driver of its own, and a Chromium of the
system: apt-get install chromium. Nothing is downloaded when the tests run.
"""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

WIDTHS, THEMES = (1280, 360), ("light", "dark")
# No connection of the browser's own, which would be none of the page's.
QUIET = ("background-networking", "component-update", "sync", "gpu", "quic")


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    reason = 'no playwright here: pip install -e ".[dev]"'
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    options = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "page.html"
    path.write_text(report.html, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open the page -> (page, what its console says, what it requests)."""
    contexts = []

    def opened(width=1280, theme="light", **options):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=theme, **options))
        page, said, asked = contexts[-1].new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page, said, asked

    yield opened
    for context in contexts:
        context.close()


SEEN = """() => [...document.querySelectorAll("figure")].map(figure => [
  figure.querySelector("figcaption").textContent.trim(),
  [...figure.querySelectorAll("svg, img, video")].map(one => one.getBoundingClientRect())
    .filter(box => box.width > 100 && box.height > 60).length])"""
BEYOND = """() => [...document.querySelectorAll("body *")]
  .filter(one => !one.closest(".scroll > *") && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_whole_at_every_width_and_on_every_ground(open_page, address, width, theme):
    page, said, asked = open_page(width, theme)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    seen = page.evaluate(SEEN)
    assert len(seen) == 8 and [name for name, count in seen if count != 1] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BEYOND) == []
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    assert picture.width == width and picture.height > 2000
    ground = np.asarray(picture.convert("L"), np.float32)
    assert (np.median(ground) > 200) if theme == "light" else (np.median(ground) < 60)
    assert ground.std() > 10  # something is drawn on it


def test_letters_of_figures_stand_out_on_every_ground(open_page):
    for theme in THEMES:
        page, *_ = open_page(360, theme)
        colors = page.evaluate(
            """() => [...document.querySelectorAll("figure svg text")]
            .filter(one => one.getBoundingClientRect().width)
            .map(one => getComputedStyle(one).fill.match(/\\d+/g).slice(0, 3).map(Number))"""
        )
        assert colors
        for color in colors:
            bright = np.dot(color, (0.299, 0.587, 0.114))
            assert bright < 140 if theme == "light" else bright > 120, (theme, color)


def test_a_click_on_its_head_sorts_a_table_by_a_column(open_page):
    page, said, _ = open_page()
    rows = (
        "() => [...document.querySelectorAll('#tasks tbody tr')].map(r => r.cells[0].textContent)"
    )
    before = page.evaluate(rows)
    head = page.locator("#tasks th", has_text="normalised")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = page.evaluate(rows)
    assert down[0] == "CartPole-v1" and down[2:] == ["ALE/Boxing-v5", "text/vqa"]  # it has none
    head.locator("button").click()
    assert page.evaluate(rows) == [*down[2::-1], "text/vqa"]
    page.locator("#tasks th button", has_text="task").click()
    assert sorted(page.evaluate(rows)) == sorted(before) and said == []


def test_without_scripts_the_tables_are_there(open_page):
    page, said, _ = open_page(java_script_enabled=False)
    assert page.locator("#tasks tbody tr").count() == 4 and said == []
    assert page.locator("th button").count() == 0


def test_a_video_plays(open_page):
    page, said, _ = open_page()
    state = page.evaluate(
        """async () => { const video = document.querySelector("video"); await video.play();
        return [video.videoWidth, video.error]; }"""
    )
    assert state == [480, None] and said == []
