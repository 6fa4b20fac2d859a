"""The report in a real browser: it draws everything, asks for nothing, and fits a phone."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from imitation import compared
from playwright.sync_api import Browser, Page

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.datasets.dataset import Dataset
from emjax.report import write_report
from emjax.verdict import Verdict

SEEN = (("hostile", 1280, "light"), ("hostile", 400, "dark"), ("not converged", 400, "dark"))
"""The pages, widths and colours that are looked at by default, the others by name."""

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of columns with hostile names: as if the chains had converged, and as if they had not."""
    folder = tmp_path_factory.mktemp("reports")
    x = Dataset(np.asarray(emjax.datasets.load("faithful")), (HOSTILE, "$y_{" + "long" * 45), name=HOSTILE)
    mixture = emjax.Mixture(emjax.Normal(), 2)
    comparison = compared(x, mixture)
    provenance = {"data": {"name": HOSTILE, "source": HOSTILE}}
    return {
        name: write_report(
            dataclasses.replace(judged(comparison, status), verdict=verdict),
            folder / f"{status}.html",
            provenance=provenance,
            command=HOSTILE,
        )
        for name, status, verdict in (
            ("hostile", PosteriorStatus.converged, Verdict.EM_WITH_INTERVALS),
            ("not converged", PosteriorStatus.not_converged, Verdict.INCONCLUSIVE),
        )
    }


def judged(comparison: emjax.Comparison, status: PosteriorStatus) -> emjax.Comparison:
    """The comparison with another status of its posterior."""
    found = dataclasses.replace(comparison.posterior.diagnostics, status=status)
    return dataclasses.replace(comparison, posterior=dataclasses.replace(comparison.posterior, diagnostics=found))


def opened(browser: Browser, path: Path, width: int, scheme: str = "light") -> tuple[Page, SimpleNamespace]:
    """The page at a width, with everything it said or asked for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    heard = SimpleNamespace(console=[], errors=[], requests=[], dialogs=[])
    page.on("console", lambda message: heard.console.append(message.text))
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("request", lambda request: heard.requests.append(request.url))
    page.on("dialog", lambda dialog: (heard.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri(), wait_until="load")
    return page, heard


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        pytest.param(name, width, scheme, marks=[] if (name, width, scheme) in SEEN else [pytest.mark.slow])
        for name in ("hostile", "not converged")
        for width in (1280, 400)
        for scheme in ("light", "dark")
    ],
)
def test_everything_is_visible_and_nothing_is_asked_for(browser, reports, name, width, scheme):
    page, heard = opened(browser, reports[name], width, scheme)
    images = page.locator("img")
    assert images.count() >= 7
    for place in range(images.count()):
        image = images.nth(place)
        image.scroll_into_view_if_needed()
        assert image.is_visible()
        size = image.evaluate("image => [image.complete, image.naturalWidth, image.naturalHeight, image.clientWidth]")
        assert size[0]
        assert min(size[1:3]) > 100, "an image that cannot be drawn has no natural size"
        assert size[3] > 0.6 * min(width, 500)
        assert image.get_attribute("alt")
    scrolled = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert scrolled[0] <= scrolled[1], "the page itself must not scroll sideways"
    assert heard.console == []
    assert heard.errors == []
    assert heard.dialogs == []
    assert [url for url in heard.requests if not url.startswith(("file:", "data:"))] == []
    assert [url for url in heard.requests if url.startswith("file:")] == [reports[name].as_uri()]
    page.close()


def test_a_hostile_name_is_read_and_not_run(browser, reports):
    page, heard = opened(browser, reports["hostile"], 1280)
    assert HOSTILE in page.locator("h1").inner_text() or "…" in page.locator("h1").inner_text()
    assert f"mean[0, {HOSTILE}]" in page.locator("#table").inner_text()
    assert page.locator("script").count() == 0
    assert page.locator("img[src='x']").count() == 0
    assert heard.dialogs == []
    page.close()


def test_the_first_screen_answers(browser, reports):
    page, _ = opened(browser, reports["not converged"], 1280)
    alert = page.locator(".alert").first.bounding_box()
    answer = page.locator("#answer").bounding_box()
    assert alert is not None
    assert answer is not None
    assert alert["y"] < answer["y"] < 700
    assert page.locator("#answer").inner_text() == "No verdict yet"
    page.close()


def luminance(color: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    channels = np.array([float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("hostile", "light"),
        ("not converged", "dark"),
        pytest.param("hostile", "dark", marks=pytest.mark.slow),
        pytest.param("not converged", "light", marks=pytest.mark.slow),
    ],
)
def test_words_stand_out_from_what_is_behind_them(browser, reports, name, scheme):
    page, _ = opened(browser, reports[name], 1280, scheme)
    pairs = page.evaluate(
        """() => [...document.querySelectorAll('h1,h2,h3,p,li,td,th,dt,dd,a,b,strong,figcaption,summary,code,span,s')]
        .filter(node => node.innerText && node.offsetParent !== null)
        .map(node => {
            const paper = of => getComputedStyle(of).backgroundColor;
            let behind = node;
            while (paper(behind) === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
            return [node.innerText.slice(0, 30), getComputedStyle(node).color, paper(behind)];
        })"""
    )
    assert len(pairs) > 100
    for text, ink, paper in pairs:
        low, high = sorted([luminance(ink), luminance(paper)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{text!r}: {ink} on {paper}"
    page.close()


def test_a_missing_browser_is_a_failure(find_chromium, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        find_chromium()
