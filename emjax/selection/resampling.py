"""How often each criterion picks each model, over data sets drawn from the rows with replacement.

A criterion that picks one model in nine of ten bootstrap samples says more than one that picks five in turn. What is
refitted to each sample are the models near the top (`near`), from their fits to all rows and from a few drawn starts:
others are hardly ever picked, and every one costs as much. (Grün and Leisch, Compstat 2004, for mixtures; Efron,
Journal of the American Statistical Association 109, 2014, for the bootstrap of a choice.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.bounds import not_negative, whole
from emjax.errors import ConfigError
from emjax.keys import KeyLike, kept_key, numpy_generator
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.samples import Samples
from emjax.selection.again import fit_again, samples_of
from emjax.selection.measures import with_criteria
from emjax.selection.selection import SHORT, Candidate, Selection, ranked
from emjax.shown import Shown
from emjax.table import Cell, Column, Table, of_share
from emjax.wording import count

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = ("bic", "icl", "aicc", "aic")
"""The criteria whose picks are counted; NEC needs a single component in every sample."""

NEAR = 10.0
"""A model is near the top where a criterion is within so much of its best."""

MOST = 12
"""Models that are refitted at most, those first that are nearest to the top by any criterion."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Picks(Shown):
    """How often each criterion picked each model.

    Attributes
    ----------
    candidates
        The models that were refitted.
    picked
        By criterion the place among `candidates` of what it picked in each sample, ``(n_replicates,)``; -1 where no
        model could be compared.
    n_failed
        Of each candidate the samples in which its fit did not converge, or was spurious: it could not be picked there.
    left_out
        How many models of the sweep were not refitted.
    key
        The random key.
    """

    candidates: tuple[Candidate, ...]
    picked: Mapping[str, np.ndarray]
    n_failed: np.ndarray
    left_out: int
    key: Any = None

    def shares(self, criterion: str) -> np.ndarray:
        """The share of the samples in which a criterion picked each model ``(n_models,)``."""
        picked = self.picked[criterion]
        return np.bincount(picked[picked >= 0], minlength=len(self.candidates)) / len(picked)

    @property
    def table(self) -> Table:
        """The models with the share of the samples in which each criterion picked them."""
        n_replicates = len(next(iter(self.picked.values())))
        shares = {name: self.shares(name) for name in self.picked}
        header = [Column("model", "word"), Column("K", "number", "number of components")]
        header += [
            Column(SHORT[name], "number", f"share of samples in which {SHORT[name]} picked it") for name in shares
        ]
        header.append(Column("note", "word"))
        rows = []
        for place, each in enumerate(self.candidates):
            cells = [Cell(each.name), Cell(f"{each.n_components}", values=(each.n_components,))]
            cells += [_share(float(own[place]), n_replicates) for own in shares.values()]
            failed = int(self.n_failed[place])
            rows.append([*cells, Cell(f"no fit to {count(failed, 'sample')}" if failed else "")])
        note = (
            f"Of {count(n_replicates, 'bootstrap sample')}; {count(self.left_out, 'model')} far from the top left out."
        )
        return Table(header, rows, [note], "What each criterion picks", "picks")

    def to_frame(self) -> pd.DataFrame:
        """A pandas data frame of one row for each model, with the share by each criterion."""
        import pandas as pd

        shares = {name: self.shares(name) for name in self.picked}
        return pd.DataFrame(
            [
                {
                    "model": each.name,
                    "n_components": each.n_components,
                    **{name: float(own[place]) for name, own in shares.items()},
                    "n_failed": int(self.n_failed[place]),
                }
                for place, each in enumerate(self.candidates)
            ]
        )

    def __str__(self) -> str:
        return self.table.text

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "candidates", self.candidates
        yield "criteria", tuple(self.picked)
        yield "n_replicates", len(next(iter(self.picked.values())))


def _share(share: float, n_replicates: int) -> Cell:
    return of_share(share, math.sqrt(share * (1.0 - share) / n_replicates))


def bootstrap_picks(
    selection: Selection,
    *,
    n_replicates: int = 100,
    near: float = NEAR,
    key: KeyLike = None,
    n_init: int = 3,
    progress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Picks:
    """How often each criterion picks each model over bootstrap samples of the rows.

    Parameters
    ----------
    selection
        What `emjax.select` returned.
    n_replicates
        Samples, 100 by default: a share of a half then has a standard error of 5%.
    near
        Models are refitted that some criterion has within so much of its best (10 by default), 12 at most.
    key
        A whole number or JAX random key for samples and starts; the selection's own by default.
    n_init
        Drawn starts of each fit, 3 by default; the fit to all rows is one more.
    progress, on_progress
        A line; a function of the number of samples done and their number.

    Raises
    ------
    ConfigError
        If no model of the selection can be compared, or its rows are labelled.
    """
    whole("replicates", n_replicates, shown="n_replicates")
    whole("n_init", n_init)
    chosen = near_the_top(selection, not_negative("near", near))
    if not chosen:
        raise ConfigError("selection has no model that can be trusted, so there is nothing to refit")
    key = selection.key if key is None else kept_key("bootstrap_picks", key)
    if samples_of(chosen[0]).labels is not None:
        raise ConfigError("the rows are labelled, and no sample of them has the same labels: select without them")
    values = np.full((n_replicates, len(chosen), len(CRITERIA)), np.nan)

    def drawn(rows: Samples, replicate: int) -> Samples:
        return _drawn(rows, numpy_generator(key, replicate))

    def judge(place: int, replicate: int, fit: Fit | None, largest: int) -> None:
        if fit is not None:
            found = with_criteria(dataclasses.replace(chosen[place], fit=fit, values={}), largest)
            values[replicate, place] = [found.value(name) for name in CRITERIA]

    with progress_line(progress, "bootstrap") as line:
        tell = both(line, on_progress, lambda done, total: f"{done} of {total} fits", "fits")
        fit_again(chosen, range(n_replicates), drawn, judge, key=key, n_init=n_init, tell=tell)
    picked = {name: _picks(values[:, :, place]) for place, name in enumerate(CRITERIA)}
    failed = np.isnan(values[:, :, 0]).sum(axis=0)
    return Picks(tuple(chosen), picked, failed, len(selection.candidates) - len(chosen), key)


def near_the_top(selection: Selection, near: float) -> list[Candidate]:
    """The models that some criterion has within ``near`` of its best, `MOST` at most, in the order of the sweep."""
    apart: dict[int, float] = {}
    for name in CRITERIA:
        found = ranked(selection.candidates, name)
        for each in found:
            away = each.value(name) - found[0].value(name)
            apart[id(each)] = min(away, apart.get(id(each), math.inf))
    order = sorted((one for one in selection.candidates if id(one) in apart), key=lambda one: apart[id(one)])
    kept = {id(one) for one in order[:MOST] if apart[id(one)] <= near}
    return [each for each in selection.candidates if id(each) in kept]


def _drawn(samples: Samples, rng: np.random.Generator) -> Samples:
    """As many rows as there are, with replacement, each as likely as it counts; the same for every model."""
    shares, size = None, samples.n_samples
    if samples.weights is not None:
        shares = samples.weights / samples.weights.sum()
        # Rows that count several times are as many rows.
        size = round(samples.weights.sum()) if (samples.weights == np.round(samples.weights)).all() else size
    rows = np.sort(rng.choice(samples.n_samples, size, p=shares))
    return dataclasses.replace(samples.take(rows), weights=None)


def _picks(values: np.ndarray) -> np.ndarray:
    """The place of the smallest value of each row; -1 where there is none."""
    known = np.where(np.isnan(values), np.inf, values)
    return np.where(np.isfinite(known).any(axis=1), known.argmin(axis=1), -1)
