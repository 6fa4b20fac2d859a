"""The shapes of the documents in a folder, as far as they are read; `emjax.experiments.archive.door` checks them.

They say what readers may rely on, and documents are read as they stand, so a default here only says that a key may be
missing. Further keys are let through: a newer emjax may write them. Names that become file names or stand in sentences
have a pattern, so that they are nothing else.
"""

import types
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

CellKey = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
JobKey = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
FileName = Annotated[str, Field(pattern=r"^(rows\.parquet|posterior-[0-9]{1,9}\.nc)$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
SweptKey = Annotated[str, Field(pattern=r"^((data|model|methods)\..+|level)$")]
Label = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=0)]
Format = Annotated[int, Field(ge=1)]
Number = float | None


class Shape(BaseModel):
    """A table: what is named has to be of its type, exactly; anything else may be there."""

    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)  # most are never read


def _table(**columns: Any) -> Any:
    """A `Shape` of these columns; a pair is a type and a default, because the column may be missing."""
    return create_model("table", __base__=Shape, **columns)


def _rows(**columns: Any) -> Any:
    """A list of such tables."""
    return types.GenericAlias(list, _table(**columns))


def _numbers(*columns: str) -> dict[str, Any]:
    return dict.fromkeys(columns, Number)


_PROVENANCE: dict[str, Any] = {
    "started": str | None,
    "versions": dict[str, str | None],
    "machine": dict[str, Any],
    "devices": _rows(platform=str, kind=str),
}

# -- single runs

RunConfig = _table(
    seed=(int, 0),
    data=_table(kind=(str, ""), source=(str, "")),
    methods=_rows(kind=str, name=(str | None, None)),
)

Environment = _table(
    **_PROVENANCE,
    format=Format,
    task=Literal["compare", "fit", "sample"],
    data=_table(name=str, n_samples=int, n_features=int),
    model=_table(family=str, covariance=str | None, n_components=int),
    files=(dict[str, str], {}),
)

Unfinished = _table(key=str, done=list[Literal["EM", "sampling"]])

_FIT = _table(
    **dict.fromkeys(("message", "space"), str),
    **dict.fromkeys(("status", "prior"), Word),
    **dict.fromkeys(("converged", "exact_iterations"), bool),
    **_numbers("log_likelihood", "bic", "compile_seconds", "run_seconds"),
    log_prior=(Number, None),
    n_iter=int | None,
    intervals=_table(
        level=float, status=Word, message=str, rows=_rows(name=str, **_numbers("estimate", "se", "lower", "upper"))
    ),
    optima=_rows(count=int, objective=Number, spurious=bool, status=(Word, "converged")),
)

EmDocument = _table(mle=_FIT | None, map=_FIT | None)

PosteriorDocument = _table(
    **dict.fromkeys(("status", "method"), Word),
    **dict.fromkeys(("message", "prior_note"), str),
    **_numbers("pareto_k", "log_evidence", "compile_seconds", "run_seconds"),
    status_message=(str, ""),
    decision=list[str],
    n_modes=int,
    modes=_rows(mass=Number, n_empty=(int | None, None)),
    good_pareto_k=(float, 0.0),
    level=float,
    alignment=_table(trust=Number, note=str),
    parameters=_rows(name=str, **_numbers("mean", "sd", "lower", "upper", "ess", "r_hat")),
)

_SECONDS = _table(method=(Word | None, None), **_numbers("compile_seconds", "run_seconds"))
_MAYBE: Any = (Number, None)
_ROWS: Any = (Whole | None, None)

ComparisonDocument = _table(
    verdict=Literal["em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"],
    reasons=list[str],
    level=float,
    parameters=_rows(
        name=str,
        **_numbers("em", "se", "em_lower", "em_upper", "map", "mean", "sd", "lower", "upper"),
        **_numbers("difference_in_sd", "width_ratio", "mass_in_em_interval"),
    ),
    invariants=_table(
        total_variation=_table(value=Number, standard_error=_MAYBE),
        co_clustering=_table(mean_difference=Number, largest_difference=_MAYBE, n_rows=_ROWS),
        log_score=_table(**_numbers("em", "posterior_predictive", "difference"), n_rows=_ROWS),
        elpd_loo=_table(
            **_numbers("value", "standard_error"),
            **dict.fromkeys(("subsampling_error", "effective_parameters", "largest_pareto_k"), _MAYBE),
            **dict.fromkeys(("n_rows", "n_pareto_k_high"), _ROWS),
        )
        | None,
        bic=Number,
    ),
    diagnostics=_table(
        posterior=_table(status=Word, status_message=(str, "")),
        em=(
            _table(
                status=Word,
                message=str,
                prior=(str, ""),
                optima=(_rows(spurious=bool), []),
                intervals=(_table(status=(Word, "converged"), message=str) | None, None),
                judgement=(_table(sentence=(str, "")) | None, None),
            )
            | None,
            None,
        ),
        alignment=(_table(trust=Number, note=(str, "")) | None, None),
    ),
    cost=(_table(em=(_SECONDS | None, None), mcmc=(_SECONDS | None, None)) | None, None),
)

# -- studies

_Declared: Any = _table(
    format=Format,
    **dict.fromkeys(("title", "question", "data"), (str | None, None)),
    seed=int,
    level=float,
    n_components=(int | None, None),
    methods=Annotated[list[Label], Field(min_length=1)],
    sweep=list[SweptKey],
    cells=_rows(index=Whole, key=CellKey, settings=dict[SweptKey, Any], subject=(str | None, None)),
    jobs=_rows(key=JobKey, cell=CellKey, method=Label, first=Whole, stop=Whole),
    provenance=_table(**_PROVENANCE),
)


class Declaration(_Declared):
    """The content of ``study.json``."""

    @model_validator(mode="after")
    def _parts_name_one_another(self) -> Self:
        cells, jobs = [cell.key for cell in self.cells], [job.key for job in self.jobs]
        for name, values in {"cells": cells, "jobs": jobs, "methods": self.methods, "sweep": self.sweep}.items():
            if len(set(values)) < len(values):
                raise ValueError(f"one of its {name} stands there twice")
        if set().union(*(cell.settings for cell in self.cells)) != set(self.sweep):
            raise ValueError("the settings of its cells are not those of its sweep")
        known = set(cells), set(self.methods)
        for job in self.jobs:
            if job.cell not in known[0] or job.method not in known[1] or job.first >= job.stop:
                raise ValueError("one of its jobs has a cell, a method or replicates that the study does not have")
        return self


Failure = _table(key=JobKey, error=str, attempts=(int, 0), spec=(dict[str, Any], {}))

Record = _table(
    format=Format,
    key=JobKey,
    spec=_table(
        seed=int,
        data=dict[str, Any],
        model=dict[str, Any],
        method=_table(name=Label, kind=str, budget=(dict[str, Any], {})),
        measures=(list[dict[str, Any]], []),
        level=float,
        cell=CellKey,
        first=Whole,
        stop=Whole,
    ),
    files=dict[FileName, _table(size=Whole, sha256=str)],  # type: ignore[misc]
    summary=_table(n_rows=(Whole, 0), statuses=(dict[str, int], {}), warnings=(dict[str, int], {})),
    provenance=_table(**_PROVENANCE, seconds=float),
)
