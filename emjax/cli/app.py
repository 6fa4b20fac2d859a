"""The command ``emjax``.

Exit codes: 0 when the command did what it was asked; 2 when the input is wrong (data, config, options, a run
that is there already), with one line on stderr; 3 when ``fit`` or ``sample`` finished and wrote everything,
but its status is not ``converged`` (``compare`` says that in its verdict instead, and exits 0), and when some jobs of
a study failed; 1 for what nobody expected; 130 after Ctrl-C.

JAX, NumPyro and the like are imported by the commands that need them, so help and usage errors are instant.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emjax.bounds import one_of
from emjax.catalogue import DEFAULT_SAMPLER
from emjax.cli.commands import archive as cli_archive
from emjax.cli.commands import init as cli_init
from emjax.cli.commands import report as cli_report
from emjax.cli.console import Console, print_error
from emjax.cli.exits import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONVERGED,
    EXIT_OK,
    EXIT_UNEXPECTED,
    Explained,
)
from emjax.cli.options import (
    EM,
    OPTION_KEYS,
    SAMPLER,
    VALUES,
    Acceptance,
    Bars,
    Chains,
    Columns,
    Components,
    Covariance,
    Data,
    Draws,
    DryRun,
    FamilyName,
    Header,
    Iterations,
    Json,
    Labels,
    Level,
    LogEvery,
    MaxIter,
    Method,
    Missing,
    NInit,
    NoCache,
    NoIntervals,
    NoLoo,
    Out,
    Overwrite,
    Precision,
    PriorName,
    Quiet,
    Scheduler,
    Seed,
    Set,
    Shard,
    Starts,
    Tol,
    Warmup,
    Weights,
    Workers,
)
from emjax.errors import ConfigError, EmjaxError
from emjax.wording import printable

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


@app.command()
def compare(
    context: typer.Context,
    data: Data,
    components: Components = None,
    family: FamilyName = None,
    covariance: Covariance = None,
    columns: Columns = None,
    header: Header = None,
    weights: Weights = None,
    labels: Labels = None,
    missing: Missing = None,
    prior: PriorName = None,
    precision: Precision = None,
    n_init: NInit = None,
    starts: Starts = None,
    max_iter: MaxIter = None,
    tol: Tol = None,
    method: Method = None,
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    target_accept_prob: Acceptance = None,
    level: Level = None,
    no_loo: NoLoo = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    progress: Bars = None,
    no_cache: NoCache = False,
) -> int:
    """Fit by EM, sample by MCMC, and say whether EM is enough."""
    return _run_options(context, "compare")


@app.command()
def fit(
    context: typer.Context,
    data: Data,
    components: Components = None,
    family: FamilyName = None,
    covariance: Covariance = None,
    columns: Columns = None,
    header: Header = None,
    weights: Weights = None,
    labels: Labels = None,
    missing: Missing = None,
    prior: PriorName = None,
    precision: Precision = None,
    n_init: NInit = None,
    starts: Starts = None,
    max_iter: MaxIter = None,
    tol: Tol = None,
    iterations: Iterations = None,
    log_every: LogEvery = None,
    level: Level = None,
    no_intervals: NoIntervals = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    progress: Bars = None,
    no_cache: NoCache = False,
) -> int:
    """Fit by EM alone: estimates, intervals and every optimum found."""
    return _run_options(context, "fit")


@app.command()
def sample(
    context: typer.Context,
    data: Data,
    components: Components = None,
    family: FamilyName = None,
    covariance: Covariance = None,
    columns: Columns = None,
    header: Header = None,
    weights: Weights = None,
    labels: Labels = None,
    missing: Missing = None,
    precision: Precision = None,
    n_init: NInit = None,
    starts: Starts = None,
    method: Method = None,
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    target_accept_prob: Acceptance = None,
    level: Level = None,
    no_intervals: NoIntervals = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    progress: Bars = None,
    no_cache: NoCache = False,
) -> int:
    """Sample the posterior by MCMC, under the default prior."""
    return _run_options(context, "sample")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file, in TOML.")],
    set_: Set = None,
    out: Out = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    shard: Shard = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    progress: Bars = None,
    no_cache: NoCache = False,
) -> int:
    """Run a config file; a study goes on where it was stopped.

    Runs the Python file that the config names as its model, if it names one.
    """
    from emjax.experiments.config.reading import read_study
    from emjax.experiments.config.schema import single_task

    console = Console(quiet=quiet, json=json, progress=progress)
    study = read_study(config, set_ or ())
    if single_task(study) is None:
        from emjax.cli.commands import study as command

        if overwrite:
            raise ConfigError(
                "--overwrite is not for studies, which go on where they were stopped; to start anew, delete the "
                "study's folder or choose another one with --out"
            )
        options = command.StudyOptions(out, workers, scheduler, shard)
        if dry_run:
            return command.show_plan(study, config, options, console=console)
        return command.run(study, config, options, console=console, cache=not no_cache)
    for name, value in {
        "--workers": workers,
        "--scheduler": scheduler,
        "--shard": shard,
        "--dry-run": dry_run or None,
    }.items():
        if value is not None:
            raise ConfigError(f"{name} is for studies, and {printable(config)} is a single run: it has no [sweep]")
    return _execute(study if out is None else study.written_to(out), console, overwrite=overwrite, cache=not no_cache)


cli_report.register(app)
cli_archive.register(app)
cli_init.register(app)


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


METHODS: dict[str, list[dict[str, Any]]] = {
    "compare": [{"kind": "em"}, {"kind": DEFAULT_SAMPLER, "verdict": True}],
    "fit": [{"kind": "em"}],
    "sample": [{"kind": "map"}, {"kind": DEFAULT_SAMPLER}],
}
"""The methods of the commands that run what their options declare."""


def _run_options(context: typer.Context, command: str) -> int:
    """Run what the options of a command declare."""
    from emjax.datasets.columns import split_columns
    from emjax.experiments.config.overrides import dotted, put
    from emjax.experiments.config.reading import Declared, overridden
    from emjax.experiments.plan.cells import checked_study

    given = context.params
    shown = {parameter.name: parameter.opts[0] for parameter in context.command.params} | {"data": "DATA"}
    tree: dict[str, Any] = {"model": {}, "methods": [dict(method) for method in METHODS[command]]}
    display = {}
    for option, key in OPTION_KEYS.items():
        if option not in given:
            continue
        section, _, name = key.rpartition(".")
        place = {EM: ("methods", 0), SAMPLER: ("methods", len(tree["methods"]) - 1), "": ()}.get(section, (section,))
        display[dotted((*place, name))] = shown[option]
        value = given[option]
        if value is None:
            continue
        if option in VALUES:
            value = VALUES[option][one_of(shown[option], value, VALUES[option]) if isinstance(value, str) else value]
        elif option == "columns":
            value = split_columns(value)
        tree = put(tree, (*place, name), str(value) if isinstance(value, Path) else value)
    # Maximum likelihood, unless the options or `--set model.prior` say otherwise.
    declared = Declared(tree, f"emjax {command}", em_follows_prior=command != "sample" and given["prior"] is None)
    study = checked_study(overridden(declared, given["set_"] or ()), display)
    console = Console(quiet=given["quiet"], json=given["json"], progress=given["progress"])
    return _execute(study, console, overwrite=given["overwrite"], cache=not given["no_cache"])


def _execute(study: Any, console: Console, *, overwrite: bool, cache: bool) -> int:
    from emjax.experiments.execution import runtime

    runtime.one_line_warnings(show=not console.quiet)
    problem = runtime.configure(cache=cache)
    if problem is not None:
        console.warn(problem)
    from emjax.cli.terminal_study import single_view
    from emjax.experiments.execution import single as runner

    done = runner.run(study, listener=console, overwrite=overwrite)
    console.show(*single_view(done))
    console.document({**done.document, "run": str(done.folder)})
    return EXIT_OK if done.trustworthy or done.task == "compare" else EXIT_NOT_CONVERGED


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
