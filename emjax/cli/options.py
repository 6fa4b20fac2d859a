"""The options of the command line: what each takes, where help shows it, and the config key behind it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from emjax.catalogue import DEFAULT_FAMILY, DEFAULT_SAMPLER, FAMILY_ENTRIES, NAMED_SAMPLERS, SAMPLERS
from emjax.cli.completion import choices, data_names

EM, SAMPLER = "em", "sampler"
"""What stands in a key for the method of a command that is EM, or that samples."""

OPTION_KEYS = {
    "data": "data.source",
    "columns": "data.columns",
    "header": "data.header",
    "weights": "data.weights",
    "labels": "data.labels",
    "missing": "data.missing",
    "components": "model.n_components",
    "family": "model.family",
    "covariance": "model.covariance",
    "prior": "em.kind",
    "seed": "seed",
    "precision": "em.precision",
    "n_init": "em.n_init",
    "starts": "em.starts",
    "max_iter": "em.max_iter",
    "tol": "em.tol",
    "iterations": "em.iterations",
    "log_every": "em.log_every",
    "no_intervals": "em.intervals",
    "method": "sampler.kind",
    "no_loo": "sampler.loo",
    "chains": "sampler.chains",
    "warmup": "sampler.warmup",
    "draws": "sampler.draws",
    "target_accept_prob": "sampler.target_accept_prob",
    "level": "level",
    "out": "output.dir",
}
"""The config key behind every option; an option that is not given leaves the config's default."""

VALUES: dict[str, dict[Any, Any]] = {
    "missing": {True: "keep"},
    "no_intervals": {True: "none"},
    "no_loo": {True: False},
    "prior": {"none": "em", "default": "map"},
}
"""What the config says for what is given on the command line, where these are not the same."""

_OTHERS = [name for name in FAMILY_ENTRIES if name != DEFAULT_FAMILY]
_MODEL, _EM, _MCMC, _RUN, _STUDY = "Model", "EM", "MCMC", "Run", "Study"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A bundled name, a CSV, Parquet, Arrow or NumPy file, or -.", autocompletion=data_names
    ),
]
Columns = Annotated[str | None, typer.Option(metavar="A,B", help="Columns to use.", rich_help_panel=_MODEL)]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", metavar="", help="First line is names (found out).", rich_help_panel=_MODEL),
]
Weights = Annotated[str | None, typer.Option(metavar="A", help="Column with weights of rows.", rich_help_panel=_MODEL)]
Labels = Annotated[str | None, typer.Option(metavar="A", help="Column with known components.", rich_help_panel=_MODEL)]
Missing = Annotated[
    bool | None, typer.Option("--missing", metavar="", help="Keep empty cells, not seen.", rich_help_panel=_MODEL)
]
Components = Annotated[
    int | None,
    typer.Option("-k", "--components", metavar="K", help="Number of components (required).", rich_help_panel=_MODEL),
]
FamilyName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices("model.family"),
        help=f"{' (default), '.join([DEFAULT_FAMILY, ', '.join(_OTHERS[:-1])])} or {_OTHERS[-1]}.",
        rich_help_panel=_MODEL,
    ),
]
Covariance = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices("model.covariance"),
        help="full (default), tied, diag or spherical.",
        rich_help_panel=_MODEL,
    ),
]
PriorName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda incomplete: [name for name in VALUES["prior"] if name.startswith(incomplete)],
        help="EM: likelihood (none) or MAP (default).",
        rich_help_panel=_MODEL,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices("methods.precision"),
        help="float64 (default) or float32.",
        rich_help_panel=_MODEL,
    ),
]
NInit = Annotated[int | None, typer.Option("--n-init", metavar="N", help="Number of starts.", rich_help_panel=_EM)]
Starts = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices("methods.starts"),
        help="mixed (default), kmeans++, random, responsibilities, hierarchical or short_em.",
        rich_help_panel=_EM,
    ),
]
MaxIter = Annotated[int | None, typer.Option("--max-iter", metavar="N", help="Most iterations.", rich_help_panel=_EM)]
Tol = Annotated[
    float | None,
    typer.Option(metavar="X", help="Distance to the limit at which EM stops.", rich_help_panel=_EM),
]
Iterations = Annotated[int | None, typer.Option(metavar="N", help="Run exactly N iterations.", rich_help_panel=_EM)]
LogEvery = Annotated[
    int | None,
    typer.Option("--log-every", metavar="M", help="Log the parameters every M iterations.", rich_help_panel=_EM),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices("methods.kind", SAMPLERS),
        help=f"{DEFAULT_SAMPLER} (default), {', '.join(NAMED_SAMPLERS)}.",
        rich_help_panel=_MCMC,
    ),
]
Chains = Annotated[int | None, typer.Option(metavar="N", help="Chains (the method's own).", rich_help_panel=_MCMC)]
Warmup = Annotated[
    int | None, typer.Option(metavar="N", help="Warm-up steps (the method's own).", rich_help_panel=_MCMC)
]
Draws = Annotated[
    int | None, typer.Option(metavar="N", help="Draws per chain (until they suffice).", rich_help_panel=_MCMC)
]
Acceptance = Annotated[
    float | None,
    typer.Option(
        "--target-accept-prob", metavar="P", help="Raise it where transitions diverge.", rich_help_panel=_MCMC
    ),
]
Level = Annotated[float | None, typer.Option(metavar="P", help="Probability of intervals (0.9).", rich_help_panel=_RUN)]
NoLoo = Annotated[bool | None, typer.Option("--no-loo", metavar="", help="Leave out PSIS-LOO.", rich_help_panel=_RUN)]
NoIntervals = Annotated[
    bool | None, typer.Option("--no-intervals", metavar="", help="No standard errors.", rich_help_panel=_RUN)
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Random seed (0).", rich_help_panel=_RUN)]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder (runs/DATA-kK).", rich_help_panel=_RUN)]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", metavar="", help="Replace the single run in --out.", rich_help_panel=_RUN),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any config key; repeatable.", rich_help_panel=_RUN),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.", rich_help_panel=_RUN)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but errors.", rich_help_panel=_RUN)
]
Bars = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", metavar="", help="Bars (on a terminal).", rich_help_panel=_RUN),
]
NoCache = Annotated[bool, typer.Option("--no-cache", metavar="", help="Compile everything anew.", rich_help_panel=_RUN)]

Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes (one per core).", rich_help_panel=_STUDY)]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A Dask scheduler, tcp://HOST:PORT, or local:N; or slurm:N.", rich_help_panel=_STUDY
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Every N-th job from the I-th on, or array.", rich_help_panel=_STUDY),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", metavar="", help="Print the plan; write nothing.", rich_help_panel=_STUDY)
]
