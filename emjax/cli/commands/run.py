"""The commands that compute: `compare`, `fit` and `sample`, whose options declare a single run, and `run`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from emjax.bounds import one_of
from emjax.catalogue import DEFAULT_SAMPLER
from emjax.cli.console import Console
from emjax.cli.exits import EXIT_NOT_CONVERGED, EXIT_OK
from emjax.cli.options import (
    EM,
    OPTIONS,
    PROGRAM,
    SAMPLER,
    Bars,
    DryRun,
    Json,
    NoCache,
    Out,
    Overwrite,
    Quiet,
    Scheduler,
    Set,
    Shard,
    Workers,
    config_command,
)
from emjax.errors import ConfigError
from emjax.experiments.config.methods import COMPARED
from emjax.experiments.config.schema import single_task
from emjax.wording import printable

COMMANDS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "compare": (
        "Fit by EM, sample by MCMC, and say whether EM is enough.",
        list(COMPARED),
    ),
    "fit": ("Fit by EM alone: estimates, intervals and every optimum found.", [{"kind": "em"}]),
    "sample": ("Sample the posterior by MCMC, under the default prior.", [{"kind": "map"}, {"kind": DEFAULT_SAMPLER}]),
}
"""The commands that run what their options declare: what each does, in words and as methods."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, (doc, _) in COMMANDS.items():
        app.command(name)(config_command(name, doc, run_options))
    app.command("run")(run_config)


def run_options(command: str, given: dict[str, Any]) -> int:
    """Run what the options of a command declare."""
    from emjax.datasets.columns import split_columns
    from emjax.experiments.config.overrides import put
    from emjax.experiments.config.positions import dotted
    from emjax.experiments.config.reading import Declared, overridden
    from emjax.experiments.plan.cells import checked_study

    tree: dict[str, Any] = {"model": {}, "methods": COMMANDS[command][1]}
    if given["data"] is not None:
        tree["data"] = {"source": given["data"]}
    places: dict[str, Any] = {EM: ("methods", 0), SAMPLER: ("methods", len(tree["methods"]) - 1), "": ()}
    places[PROGRAM] = ("model",)
    display = {"data.source": "DATA", "data": "DATA"}
    for option in OPTIONS:
        if option.name not in given:
            continue
        section, _, name = option.key.rpartition(".")
        location = (*places.get(section, (section,)), name)
        display[dotted(location)] = option.written
        value = given[option.name]
        if value is None:
            continue
        if option.values:
            value = option.values[value if value is True else one_of(option.written, value, option.values)]
        elif option.name == "columns":
            value = split_columns(value)
        elif option.repeated:
            value = _table(option.written, option.repeated, value)
            if not value:
                continue
        tree = put(tree, location, value)
    # Maximum likelihood, unless the options or `--set model.prior` say otherwise.
    declared = Declared(tree, f"emjax {command}", em_follows_prior="prior" in given and given["prior"] is None)
    study = checked_study(overridden(declared, given["set_"] or ()), display)
    console = Console(quiet=given["quiet"], json=given["json"], progress=given["progress"])
    return execute(study, console, overwrite=given["overwrite"], cache=not given["no_cache"])


def _table(option: str, form: str, given: list[str]) -> dict[str, Any]:
    """What an option such as ``--argument KEY=VALUE`` says, each value read as TOML."""
    from emjax.experiments.config.overrides import parsed_value

    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"{option} {printable(text)}: write {form}: a name, '=' and a value")
        found[name.strip()] = parsed_value(value.strip())
    return found


def run_config(
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

    Runs the Python file that the config names as its model or its program, if it names one.
    """
    from emjax.experiments.config.reading import read_study

    console = Console(quiet=quiet, json=json, progress=progress)
    study = read_study(config, set_ or ())
    if single_task(study) is None:
        from emjax.cli.commands import study as command
        from emjax.experiments.execution.run import check_workers, folder_of

        if overwrite:
            raise ConfigError(
                "--overwrite is not for studies, which go on where they were stopped; to start anew, delete the "
                "study's folder or choose another one with --out"
            )
        target = folder_of(study, out, config)
        if dry_run:
            check_workers(workers, scheduler)
            return command.show_plan(study, target, shard, console)
        options: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "shard": shard}
        return command.run(study, target, **options, console=console, cache=not no_cache)
    for name, value in {
        "--workers": workers,
        "--scheduler": scheduler,
        "--shard": shard,
        "--dry-run": dry_run or None,
    }.items():
        if value is not None:
            raise ConfigError(f"{name} is for studies, and {printable(config)} is a single run: it has no [sweep]")
    return execute(study if out is None else study.written_to(out), console, overwrite=overwrite, cache=not no_cache)


def execute(study: Any, console: Console, *, overwrite: bool, cache: bool) -> int:
    """Run a study that is a single run, and say what came of it; return the exit code."""
    console.start_jax(cache=cache)
    from emjax.cli.terminal_study import single_view
    from emjax.experiments.execution import single as runner

    done = runner.run(study, listener=console, overwrite=overwrite)
    console.show(*single_view(done))
    console.document({**done.document, "run": str(done.folder)})
    return EXIT_OK if done.trustworthy or done.task == "compare" else EXIT_NOT_CONVERGED
