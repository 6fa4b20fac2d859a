r"""The cross-validated log score of the models of a sweep: how well each predicts rows that it has not seen.

Rows are dealt into folds at random. Each model is fitted to all folds but one, by maximum likelihood or as it was
declared, and the log densities of the rows of that one are added up. The higher the better, in nats. The standard error
of a difference between two models is that of a sum of paired differences,

.. math:: \sqrt{n}\, \operatorname{sd}_n(\log p_1(x_n) - \log p_2(x_n)),

which leaves out that folds share rows: it is rather too small (Smyth, Statistics and Computing 10, 2000, for mixtures;
Bengio and Grandvalet, Journal of Machine Learning Research 5, 2004, for the error).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.bounds import whole
from emjax.em.further import FIRST
from emjax.errors import ConfigError
from emjax.keys import KeyLike, kept_key, numpy_generator
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.samples import Samples
from emjax.selection.again import fit_again, samples_of
from emjax.selection.measures import widened_fit
from emjax.selection.selection import Candidate, Selection
from emjax.shown import Shown
from emjax.table import Cell, Column, Table, of_estimate
from emjax.wording import MISSING, count, fixed

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A posterior among the models of a cross-validation: its name and its number of components."""

    name: str
    n_components: int


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossValidation(Shown):
    """The log scores of models on rows that they were not fitted to.

    Attributes
    ----------
    candidates
        The models, as in the sweep; of posteriors their names and numbers of components.
    pointwise
        The log density of each row that counts under each model, fitted without the row's fold, ``(n_models,
        n_samples)``; NaN where the fit to the other folds failed or was spurious.
    folds
        The fold of each row ``(n_samples,)``.
    weights
        How often each row counts; None for once.
    n_failed
        Of each model the number of folds without a fit.
    key
        The random key of folds and starts.
    """

    candidates: tuple[Candidate | Sampled, ...]
    pointwise: np.ndarray
    folds: np.ndarray
    weights: np.ndarray | None
    n_failed: np.ndarray
    key: Any = None

    @property
    def scores(self) -> np.ndarray:
        """The log score of each model ``(n_models,)`` in nats, the higher the better; NaN where a fold failed."""
        return self.pointwise.sum(axis=1) if self.weights is None else self.pointwise @ self.weights

    @property
    def standard_errors(self) -> np.ndarray:
        """Of each score ``(n_models,)``: of the sum over rows, as if these were drawn anew."""
        weights = np.ones(self.pointwise.shape[1]) if self.weights is None else self.weights
        total = float(weights.sum())
        apart = self.pointwise - (self.scores / total)[:, None]
        return np.asarray(np.sqrt(apart**2 @ weights / (total - 1.0) * total))

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """The score of one model less that of another, with its standard error."""
        apart = self.pointwise[one] - self.pointwise[other]
        weights = np.ones(len(apart)) if self.weights is None else self.weights
        total = float(weights.sum())
        mean = float(weights @ apart) / total
        return total * mean, float(np.sqrt(weights @ (apart - mean) ** 2 / (total - 1.0) * total))

    @property
    def order(self) -> np.ndarray:
        """The models, the best first; those without a score are left out."""
        scores = self.scores
        return np.array([place for place in np.argsort(-scores) if not np.isnan(scores[place])], int)

    @property
    def table(self) -> Table:
        """The models by their score, with the difference from the best and its standard error."""
        n_folds, order = int(self.folds.max()) + 1, self.order
        header = [
            Column("model", "word"),
            Column("K", "number", "number of components"),
            Column("log score", "number", "log density of rows that the fit has not seen, summed, nats"),
            Column("difference", "number", "from the best, with its standard error", files=("difference", "se")),
            Column("note", "word"),
        ]
        rows = [self._row(place, order[0]) for place in order]
        rows += [self._row(place, None) for place in np.flatnonzero(np.isnan(self.scores))]
        note = "The higher the better. Standard errors are rather too small: folds share rows."
        return Table(header, rows, [note], f"Log score over {n_folds} folds", "cross-validation")

    def _row(self, place: Any, best: Any) -> list[Cell]:
        candidate, score = self.candidates[place], float(self.scores[place])
        failed = int(self.n_failed[place])
        what = "a fit" if isinstance(candidate, Candidate) else "a posterior that may be used"
        return [
            Cell(candidate.name),
            Cell(f"{candidate.n_components}", values=(candidate.n_components,)),
            Cell(MISSING if best is None else fixed(score, 1), values=(score,)),
            Cell(MISSING) if best in (None, place) else of_estimate(*self.difference(place, best)),
            Cell(f"{count(failed, 'fold')} without {what}" if failed else "", mark="bad" if failed else ""),
        ]

    def to_frame(self) -> pd.DataFrame:
        """The models as a pandas data frame, the best first: ``log_score``, ``difference``, ``standard_error``."""
        import pandas as pd

        order = self.order
        rows = [(place, *self.difference(place, order[0])) for place in order]
        rows += [(place, np.nan, np.nan) for place in np.flatnonzero(np.isnan(self.scores))]
        found = []
        for place, apart, error in rows:
            one = self.candidates[place]
            named = {"model": one.name, "n_components": one.n_components, "log_score": float(self.scores[place])}
            found.append({**named, "difference": apart, "standard_error": error, "n_failed": int(self.n_failed[place])})
        return pd.DataFrame(found)

    def __str__(self) -> str:
        return self.table.text

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "candidates", self.candidates
        yield "n_folds", int(self.folds.max()) + 1
        if len(self.order):
            best = self.candidates[self.order[0]]
            yield "best", f"{best.name}, {best.n_components} components"


def dealt(rows: Samples, n_folds: int, key: KeyLike) -> np.ndarray:
    """The fold of each row ``(n_samples,)``, at random, all of about one size."""
    whole("points", n_folds, shown="n_folds")
    if not 2 <= n_folds <= rows.n_samples:
        raise ConfigError(f"n_folds = {n_folds} is not allowed; give a whole number from 2 to {rows.n_samples}")
    return numpy_generator(key).permutation(np.arange(rows.n_samples) % n_folds)


def cross_validate(
    selection: Selection,
    *,
    n_folds: int = 10,
    key: KeyLike = None,
    n_init: int = FIRST,
    progress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> CrossValidation:
    """The cross-validated log score of every model of a sweep that can be trusted.

    Parameters
    ----------
    selection
        What `emjax.select` returned.
    n_folds
        The number of folds, 10 by default; each model is fitted as often. Models of one family and structure share a
        compiled program, as in the sweep.
    key
        A whole number or JAX random key that deals the rows and draws the starts; the selection's own by default.
    n_init
        Drawn starts of each fit, 20 by default; the fit to all rows is one more.
    progress, on_progress
        A line; a function of the number of fits done and their number.

    Raises
    ------
    ConfigError
        If nothing was fitted, or there are fewer rows than folds.
    """
    whole("n_init", n_init)
    key = selection.key if key is None else kept_key("cross_validate", key)
    chosen = [each for each in selection.candidates if each.usable]
    if not chosen:
        raise ConfigError("selection has no model that can be trusted, so there is nothing to cross-validate")
    first = samples_of(chosen[0])
    folds = dealt(first, n_folds, key)
    pointwise = np.full((len(chosen), first.n_samples), np.nan)
    failed = np.zeros(len(chosen), int)

    def others(rows: Samples, fold: int) -> Samples:
        return rows.take(folds != fold)

    def score(place: int, fold: int, fit: Fit | None, largest: int) -> None:
        if fit is None or not fit.converged or fit.spurious:
            failed[place] += 1
            return
        left_out = samples_of(chosen[place]).take(folds == fold)
        pointwise[place, folds == fold] = widened_fit(fit, largest).score_samples(left_out)

    with progress_line(progress, "cross-validation") as line:
        tell = both(line, on_progress, lambda done, total: f"{done} of {total} fits", "fits")
        fit_again(chosen, range(n_folds), others, score, key=key, n_init=n_init, tell=tell)
    return CrossValidation(tuple(chosen), pointwise, folds, first.weights, failed, key)
