"""The README's example runs as it stands, and its commands exist."""

import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.runs_numpyro
def test_the_python_example_runs_and_is_short(tmp_path, monkeypatch, capsys):
    (example,) = _blocks("python")
    assert len(example.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] in {"em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"}
    assert len(printed) > 3
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_two_commands_are_the_promised_ones():
    commands = [line for block in _blocks("bash") for line in block.splitlines() if line]
    assert commands == ["pip install uv && uv run emjax compare faithful -k 2", "uv run --group test pytest"]


def test_every_command_named_is_one_of_the_command_line(monkeypatch, capsys):
    from emjax.experiments.cli import main

    named = {shlex.split(text)[1] for text in re.findall(r"`(emjax [^`]+)`", README)}
    assert named >= {"compare", "fit", "sample", "run", "datasets", "doctor", "schema"}
    for command in sorted(named):
        monkeypatch.setattr(sys, "argv", ["emjax", command, "--help"])
        with pytest.raises(SystemExit) as stop:
            sys.exit(main())
        assert not stop.value.code
        assert command in capsys.readouterr().out


def test_every_linked_file_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []
