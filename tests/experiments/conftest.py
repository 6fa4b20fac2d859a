"""The command line inside the test process, in a folder of its own, without traces in the user's cache."""

import warnings
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from emjax.cli.app import app
from emjax.report import svg

SMALL_MCMC = ("--chains", "2", "--warmup", "150", "--draws", "150")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current folder, no compilation cache, no colours, 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    # The command line gives warnings a form of its own; the tests want theirs back.
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    return tmp_path


@pytest.fixture
def no_page(monkeypatch):
    """Runs write one word in place of their page, which takes longer than all the rest and has tests of its own."""
    for name in ("render_report", "render_fit"):
        monkeypatch.setattr(f"emjax.report.page.{name}", lambda *arguments, **more: "page")


@pytest.fixture
def words_alone(monkeypatch):
    """Figures are drawn and not written, which takes half the time of a page: for tests that read its words."""
    monkeypatch.setattr(svg, "svg_text", lambda figure, **_: "<svg></svg>")


@pytest.fixture
def emjax_command(workplace):
    """Run ``emjax ARGUMENTS`` in this process: ``code``, ``out``, ``err``."""

    def command(*arguments: str, stdin: bytes | None = None) -> SimpleNamespace:
        result = CliRunner().invoke(app, list(arguments), prog_name="emjax", catch_exceptions=False, input=stdin)
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return command
