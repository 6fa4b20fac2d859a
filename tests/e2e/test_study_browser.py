"""The page of a study in a real browser: it sorts and filters by mouse and by keyboard, and fits a phone."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from emjax.experiments.pages.build import write_pages

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments" / "pages"))
from synthetic_study import declaration, declare, draw_rows, view_of

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of two methods, one of them with a hostile name, and a failed job."""
    methods = ({"kind": "em"}, {"kind": "hmc", "name": HOSTILE, "verdict": True})
    study = declare({"data.n_samples": (1000, 200)}, 12, methods, title=HOSTILE)
    rows = draw_rows(study, declaration(study), untrusted=0.1)
    return write_pages(view_of(study, rows, failed=1), tmp_path_factory.mktemp("study"), figures=False).page


def opened(browser: Browser, path: Path, width: int = 1280, scheme: str = "light", script: bool = True) -> tuple:
    """The page, with everything it said or asked for."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    heard = SimpleNamespace(said=[], requests=[])
    page.on("console", lambda message: heard.said.append(message.text))
    page.on("pageerror", lambda error: heard.said.append(str(error)))
    page.on("dialog", lambda dialog: (heard.said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: heard.requests.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    return page, heard


def faintest(page: Page) -> float:
    """The lowest contrast of any words with what is behind them (WCAG 2.2)."""
    return page.evaluate(
        """() => {
        const parts = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const scaled = color => parts(color).map(part => part / (color.startsWith('color') ? 1 : 255));
        const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        const weights = [0.2126, 0.7152, 0.0722];
        const light = color => scaled(color).map(linear).reduce((sum, part, i) => sum + part * weights[i], 0);
        const paper = node => getComputedStyle(node).backgroundColor;
        const clear = color => color === 'rgba(0, 0, 0, 0)' || color.includes('/');
        const words = 'h1,h2,h3,p,li,td,th,dt,dd,a,b,strong,figcaption,summary,code,span,button,label';
        const seen = [...document.querySelectorAll(words)].filter(node => node.innerText && node.offsetParent);
        return Math.min(...seen.map(node => {
            let behind = node;
            while (clear(paper(behind))) behind = behind.parentElement;
            const [low, high] = [getComputedStyle(node).color, paper(behind)].map(light).sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
        }));
    }"""
    )


def column(page: Page, place: int) -> list[str]:
    return page.locator(f"#results tbody tr:visible > :nth-child({place})").all_inner_texts()


def test_the_table_sorts_by_click_and_by_keyboard(browser, study_page):
    page, heard = opened(browser, study_page)
    head = page.locator("#results thead th").nth(1)
    assert column(page, 2) == ["1,000", "1,000", "200", "200"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 2) == ["200", "200", "1,000", "1,000"], "numbers sort as numbers"
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "trusted"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Space")
    assert page.locator("#results thead th[aria-sort]").all_inner_texts()[0].startswith("trusted")
    assert page.locator("#results thead th[aria-sort]").count() == 1
    shares = [
        float(share) if share else 9.0
        for share in page.locator("#results tbody tr > :nth-child(4)").evaluate_all(
            "fields => fields.map(field => field.dataset.sort)"
        )
    ]
    assert len(shares) == 4
    assert shares == sorted(shares), "what is missing comes last"
    assert outline == "solid", "the focus can be seen"
    assert heard.said == []
    page.context.close()


def test_the_table_filters(browser, study_page):
    page, heard = opened(browser, study_page)
    page.locator("#controls select").nth(1).select_option(label="200")
    assert column(page, 2) == ["200", "200"]
    assert page.locator("#shown").inner_text() == "2 of 4 rows"
    page.get_by_label("Search").fill("em")
    assert column(page, 3)[0] == "em"
    page.get_by_label("Search").fill("nothing like that")
    assert page.locator("#none").is_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#shown")).to_have_text("4 of 4 rows")  # which polls without the eval that the page forbids
    page.locator("#controls select").first.select_option(index=2)
    assert column(page, 3) == [HOSTILE, HOSTILE]
    assert heard.said == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (360, "light")])
def test_everything_is_visible_and_nothing_is_asked_for(browser, study_page, width, scheme):
    page, heard = opened(browser, study_page, width, scheme)
    images = page.locator("img")
    assert images.count() >= 8
    sizes = images.evaluate_all("images => images.map(image => [image.naturalWidth, image.clientWidth])")
    assert all(natural > 100 and shown > 0.6 * min(width, 500) for natural, shown in sizes)
    assert faintest(page) >= 4.5, "words stand out from what is behind them"
    for path in (study_page, *sorted((study_page.parent / "cells").iterdir())):
        page.goto(path.as_uri())
        scrolled = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert scrolled[0] <= scrolled[1], f"{path.name} must not scroll sideways"
    assert heard.said == []
    assert all(url.startswith(("file:", "data:")) for url in heard.requests)
    page.context.close()


def test_links_lead_to_cells_and_back(browser, study_page):
    page, heard = opened(browser, study_page)
    page.locator("#results tbody a").first.click()
    assert page.locator("h1").inner_text() == "n_samples = 1,000"
    assert page.locator("svg.strip").first.is_visible()
    page.get_by_role("link", name="next cell").click()
    assert page.locator("h1").inner_text() == "n_samples = 200"
    page.locator("header a").click()
    assert page.locator("h1").inner_text() == HOSTILE
    assert heard.said == []
    page.context.close()


def test_without_script_there_is_a_plain_table(browser, study_page):
    page, _ = opened(browser, study_page, script=False)
    assert page.locator("#results tbody tr").count() == 4
    assert page.locator("#controls").is_hidden()
    assert page.locator("#results button").count() == 0
    page.context.close()
