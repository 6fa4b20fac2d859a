"""The command ``emjax``.

Exit codes: 0 when the command did what it was asked; 2 when the input is wrong (data, config, options, a run
that is there already), with one line on stderr; 3 when ``fit`` or ``sample`` finished and wrote everything,
but its status is not ``converged`` (``compare`` says that in its verdict instead, and exits 0), and when some jobs of
a study failed; 1 for what nobody expected; 130 after Ctrl-C.

JAX, NumPyro and the like are imported by the commands that need them, so help and usage errors are instant.
"""

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emjax.cli.commands import archive
from emjax.cli.commands import run as cli_run
from emjax.cli.commands.report import report
from emjax.cli.commands.select import select
from emjax.cli.console import Console, print_error, unbroken
from emjax.cli.exits import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, Explained
from emjax.cli.options import Json, Quiet
from emjax.errors import EmjaxError

# Typer keeps its copy of Click in different places from version to version; its public exception knows where.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
_CLICK_ERROR: type[Exception] = _USAGE_ERROR.__bases__[0]


class EmjaxGroup(TyperGroup):
    """The commands, with one way out for everything that can go wrong."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command and exit with its code."""
        try:
            extra["standalone_mode"] = False
            code = super().main(*args, **extra)
        except EmjaxError as error:
            print_error(error)
            code = EXIT_BAD_INPUT
        except _CLICK_ERROR as error:
            print_error(_usage(error))
            code = EXIT_BAD_INPUT
        except (KeyboardInterrupt, typer.Abort):
            code = EXIT_INTERRUPTED
        except OSError as error:
            code = _storage_trouble(error)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            print_error("there is not enough memory for this: ask for fewer components, starts, draws or rows")
            code = EXIT_BAD_INPUT
        # The framework turns some keyboard interrupts into this code by itself.
        if code == EXIT_INTERRUPTED and not isinstance(code, Explained):
            store = sys.modules.get("emjax.experiments.archive.store")
            print_error("interrupted; nothing was written" if store is None else store.interrupted())
        if standalone_mode:
            sys.exit(code or EXIT_OK)
        return code


app = typer.Typer(
    name="emjax",
    cls=EmjaxGroup,
    help="Is EM good enough for my mixture, or do I need MCMC?",
    epilog="Start with:  emjax compare faithful -k 2",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version and exit.")] = False,
) -> None:
    """Is EM good enough for my mixture, or do I need MCMC?"""
    if version:
        from emjax.environment import emjax_version

        typer.echo(f"emjax {emjax_version()}")
        raise typer.Exit(EXIT_OK)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


cli_run.register(app)
for command in (select, report, archive.ls, archive.show, archive.diff, archive.rerun):
    app.command()(command)


@app.command()
def init(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="What the study is called.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Make a new experiment that runs as it is."""
    from emjax.experiments.starter import FILES, init_experiment

    folder = init_experiment(name, title=title)
    console = Console(quiet=quiet, json=json)
    hint = unbroken(f"Run it with:  emjax run {shlex.quote(str(folder / 'config.toml'))}")
    console.show(f"{folder} holds {' and '.join(FILES)}.", hint)
    console.document({"folder": str(folder), "files": list(FILES)})
    return EXIT_OK


@app.command()
def datasets(json: Json = False) -> int:
    """List the bundled data sets."""
    from emjax.cli import terminal

    console = Console(json=json)
    entries = terminal.bundled_datasets()
    console.show(*terminal.dataset_table(entries))
    console.document({"datasets": entries})
    return EXIT_OK


@app.command()
def doctor(json: Json = False) -> int:
    """Show versions, devices, precision and the compilation cache."""
    from emjax.cli import doctor as examination

    console = Console(json=json)
    findings = examination.examine()
    console.show(*examination.findings_table(findings))
    console.document(findings)
    return EXIT_OK


@app.command()
def schema() -> int:
    """Print the JSON Schema of the config file, for editors."""
    from emjax.experiments.config.json_schema import config_schema
    from emjax.jsonable import to_json

    typer.echo(to_json(config_schema()))
    return EXIT_OK


def main() -> None:
    """Entry point of the command ``emjax``."""
    from emjax.experiments.execution.interrupts import handle_stopping, leave

    handle_stopping(leave)
    # Said in many lines at a folder of Matplotlib's own that cannot be written; the figures are the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    app(prog_name="emjax")


def _storage_trouble(error: OSError) -> int:
    """Say what became of a file that nobody has answered for: a full disk is nothing unexpected."""
    from emjax.atomic import is_full, storage_error

    if not is_full(error):
        print_error(error)
        return EXIT_UNEXPECTED
    place = error.filename if isinstance(error.filename, str) else "standard output or the folder of temporary files"
    print_error(storage_error(error, place, ""))
    return EXIT_BAD_INPUT


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; XLA says so in words alone."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _usage(error: Exception) -> str:
    """Return a usage error as one line that says where help is."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message if len(message) <= 300 else message[:297] + "..."
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "emjax"
    return f"{message.rstrip()} (see: {os.path.basename(command)} --help)"
