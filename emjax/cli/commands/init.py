"""The command `emjax init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from emjax.cli.console import Console, unbroken
from emjax.cli.exits import EXIT_OK


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(init)


def init(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="What the study is called.")] = None,
    json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but errors.")] = False,
) -> int:
    """Make a new experiment that runs as it is."""
    from emjax.experiments.starter import FILES, init_experiment

    folder = init_experiment(name, title=title)
    console = Console(quiet=quiet, json=json)
    command = f"emjax run {shlex.quote(str(folder / 'config.toml'))}"
    # On one line, however long: it is there to be copied.
    hint = unbroken(f"Run it with:  {command}")
    console.show(f"{folder} holds {' and '.join(FILES)}.", hint)
    console.document({"folder": str(folder), "files": list(FILES)})
    return EXIT_OK
