"""The options of the command line: those of `compare`, `fit` and `sample` are made from the fields of the config."""

import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from emjax.experiments.config.data import SourceData
from emjax.experiments.config.methods import EmMethod, SamplerMethod
from emjax.experiments.config.model import Model
from emjax.experiments.config.programs import ProgramModel
from emjax.experiments.config.schema import Output, Study

EM, SAMPLER, PROGRAM = "em", "sampler", "program"
"""What stands in a key for the method of a command that is EM, or that samples, and for a model that is a program."""

_RUN, _STUDY = "Run", "Study"
_TABLES: dict[str, tuple[type[BaseModel], str]] = {
    "data": (SourceData, "Model"),
    "model": (Model, "Model"),
    PROGRAM: (ProgramModel, "Program"),
    EM: (EmMethod, "EM"),
    SAMPLER: (SamplerMethod, "MCMC"),
    "output": (Output, _RUN),
    "": (Study, _RUN),
}
"""The tables of the config that have options, and where the help shows them."""


@dataclasses.dataclass(frozen=True)
class ConfigOption:
    """An option of `compare`, `fit` or `sample`."""

    name: str  # ``max_iter`` is ``--max-iter``
    key: str  # the setting behind it: ``model.n_components``, or ``em.tol`` of the method that is EM
    commands: str = "compare fit sample"  # that have it
    short: str = ""
    help: str = ""  # where it is not the first words of the schema on the setting
    # What the setting is for what is given, where these are not the same; with ``{True: ...}`` it is a flag.
    values: Mapping[Any, Any] = dataclasses.field(default_factory=dict)
    repeated: str = ""  # how it is written where it may stand several times

    @property
    def written(self) -> str:
        """What messages call it."""
        return self.short or "--" + self.name.replace("_", "-")

    def parameter(self) -> Parameter:
        """The parameter of a command, made from the field of the schema."""
        section, _, name = self.key.rpartition(".")
        table, panel = _TABLES[section]
        field = table.model_fields.get(name)
        parts = [] if field is None else list(_parts(field.annotation))
        literals = (part for part in parts if get_origin(part) is Literal)
        names = list(self.values) or [one for literal in literals for one in get_args(literal)]
        takes: Any = next((part for part in parts if part in (bool, int, float)), str)
        long = "--" + self.name.replace("_", "-")
        if names == [True]:
            takes, names = bool, []
        elif takes is bool:
            long = f"{long}/--no-{self.name}"
        text = self.help or ("" if field is None else _help(field, names))
        metavar = self.repeated or {bool: "", int: "N", float: "X", str: "NAME" if names else "TEXT"}[takes]
        option = typer.Option(
            *filter(None, (self.short, long)),
            metavar=metavar,
            help=text,
            autocompletion=_completer(names) if names else None,
            rich_help_panel=panel,
        )
        if self.repeated:
            takes = list[str]
        return Parameter(self.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[takes | None, option])


KINDS_OF_EM = {"none": "em", "default": "map"}
"""The method that is EM by the prior that it works under."""

KINDS_OF_SAMPLERS = {kind: kind for kind in get_args(SamplerMethod.model_fields["kind"].annotation)}
"""The samplers: no other method of a config draws."""

OPTIONS = (
    ConfigOption("components", "model.n_components", short="-k"),
    ConfigOption("family", "model.family"),
    ConfigOption("covariance", "model.covariance"),
    ConfigOption("program", "program.program", help="A Python file whose model() is a NumPyro program."),
    ConfigOption(
        "argument", "program.arguments", help="What model() is called with; repeatable.", repeated="KEY=VALUE"
    ),
    ConfigOption("latent", "program.latent", help="The site of the latent (the only one)."),
    ConfigOption("plate", "program.plate", help="The plate of the data (the latent's)."),
    ConfigOption(
        "component_axis",
        "program.component_axis",
        help="A site's axis of components (the one found); repeatable.",
        repeated="SITE=AXIS",
    ),
    ConfigOption("columns", "data.columns", help="The columns to use, as in A,B or 0,2."),
    ConfigOption("header", "data.header"),
    ConfigOption("weights", "data.weights"),
    ConfigOption("labels", "data.labels"),
    ConfigOption("missing", "data.missing", help="Keep empty cells, as not seen.", values={True: "keep"}),
    ConfigOption("prior", "em.kind", "compare fit", help="Likelihood (none) or MAP (default).", values=KINDS_OF_EM),
    ConfigOption("precision", "em.precision"),
    ConfigOption("n_init", "em.n_init"),
    ConfigOption("starts", "em.starts"),
    ConfigOption("max_iter", "em.max_iter", "compare fit"),
    ConfigOption("tol", "em.tol", "compare fit"),
    ConfigOption("iterations", "em.iterations", "fit"),
    ConfigOption("log_every", "em.log_every", "fit"),
    ConfigOption("intervals", "em.intervals", "fit"),
    ConfigOption("no_intervals", "em.intervals", "fit sample", help="No standard errors.", values={True: "none"}),
    ConfigOption("method", "sampler.kind", "compare sample", values=KINDS_OF_SAMPLERS),
    ConfigOption("chains", "sampler.chains", "compare sample"),
    ConfigOption("warmup", "sampler.warmup", "compare sample"),
    ConfigOption("draws", "sampler.draws", "compare sample"),
    ConfigOption("target_accept_prob", "sampler.target_accept_prob", "compare sample"),
    ConfigOption("pseudo_rows", "sampler.pseudo_rows", "compare sample"),
    ConfigOption("no_loo", "sampler.loo", "compare", help="Leave out PSIS-LOO.", values={True: False}),
    ConfigOption("level", "level"),
    ConfigOption("seed", "seed"),
    ConfigOption("out", "output.dir"),
)


def _parts(annotation: Any) -> Iterator[Any]:
    """The plain types and the Literals that an annotation is made of."""
    if get_origin(annotation) is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from _parts(choice)
    else:
        yield annotation


def _help(field: FieldInfo, names: list[str]) -> str:
    """The first words of the schema on a field, the names that it takes, and what holds where it is left out."""
    said, _, rest = (field.description or "").partition(";")
    default = field.default if field.default is not None else rest.partition("default: ")[2].partition(";")[0]
    default = "" if default in ("", PydanticUndefined) else f" ({str(default).partition(', and ')[0]})"
    return said[:1].upper() + said[1:] + (f": {', '.join(names)}" if names else "") + f"{default}."


def _completer(names: list[str]) -> Callable[[str], list[str]]:
    """What the shell offers after Tab; where nothing is offered, it goes on with files."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def data_names(incomplete: str) -> list[str]:
    """The bundled data sets whose names begin so."""
    from emjax import datasets

    return [name for name in datasets.available() if name.startswith(incomplete)]


def config_command(name: str, doc: str, run: Callable[[str, dict[str, Any]], int]) -> Callable[..., int]:
    """A command whose options are those of `OPTIONS`.

    It hands ``run`` the command's name and what was given, by the names of the options.
    """

    def command(**given: Any) -> int:
        return run(name, given)

    shared = {
        "overwrite": (Overwrite, False),
        "set_": (Set, None),
        "json": (Json, False),
        "quiet": (Quiet, False),
        "progress": (Bars, None),
        "no_cache": (NoCache, False),
    }
    parameters = [
        Parameter("data", Parameter.KEYWORD_ONLY, default=None, annotation=Data),
        *(option.parameter() for option in OPTIONS if name in option.commands.split()),
        *(Parameter(key, Parameter.KEYWORD_ONLY, default=one[1], annotation=one[0]) for key, one in shared.items()),
    ]
    command.__name__, command.__doc__ = name, doc
    command.__signature__ = Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def flag(*names: str, help: str, panel: str | None = _RUN) -> Any:
    """An option that is there or not."""
    return typer.Option(*names, metavar="", help=help, rich_help_panel=panel)


Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="A bundled name, a CSV, Parquet, Arrow or NumPy file, or -; left out with --program: its own data.",
        autocompletion=data_names,
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder (runs/DATA-kK).", rich_help_panel=_RUN)]
Overwrite = Annotated[bool, flag("--overwrite", help="Replace the single run in --out.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any config key; repeatable.", rich_help_panel=_RUN),
]
Json = Annotated[bool, flag("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, flag("--quiet", "-q", help="Print nothing but errors.")]
Bars = Annotated[bool | None, flag("--progress/--no-progress", help="Bars (on a terminal).")]
NoCache = Annotated[bool, flag("--no-cache", help="Compile everything anew.")]

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
DryRun = Annotated[bool, flag("--dry-run", help="Print the plan; write nothing.", panel=_STUDY)]
