"""`intervals`: standard errors and intervals of a fit, by any of the methods there are."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from emjax.bounds import not_negative, one_of, share, whole
from emjax.catalogue import DEFAULT_INTERVALS, INTERVALS
from emjax.em.memory import check_hessians
from emjax.em.restarts import coincide
from emjax.em.rows import Rows
from emjax.errors import ConfigError
from emjax.keys import KeyLike
from emjax.progress import progress_line
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.choice import chosen
from emjax.uncertainty.information import by_information, left_out
from emjax.uncertainty.limits import too_large
from emjax.uncertainty.profile import by_profile
from emjax.uncertainty.resampling import ALPHA, SCHEMES, by_resampling
from emjax.uncertainty.results import Intervals, IntervalStatus

_REPLICATES = 1000


def intervals(
    fit: Fit,
    *,
    level: float = 0.9,
    method: str = DEFAULT_INTERVALS,
    of: Any = None,
    bounded: bool = True,
    n_replicates: int | None = None,
    key: KeyLike = 0,
    alpha: float = ALPHA,
    progress: bool = False,
) -> Intervals:
    r"""Standard errors and intervals of a fit.

    Two methods take the log-likelihood for a parabola: standard errors are :math:`\sqrt{\mathrm{diag}(J C J')}` with
    the Jacobian :math:`J` of the reported numbers and the covariance :math:`C` of the estimate: :math:`I^{-1}` with the
    observed information :math:`I` of the log-likelihood (plus log prior for a MAP estimate), or the sandwich
    :math:`I^{-1} M I^{-1}` with the spread :math:`M` of the data's own scores, which holds where the data come from
    another law than the model, too. ``"profile"`` follows the log-likelihood itself to where it has fallen as far as
    the level allows (`emjax.uncertainty.profile`). The others fit EM to replicates (`emjax.uncertainty.resampling`).
    ``"auto"`` takes the information where it can be relied on, and the profile where not (`emjax.uncertainty.choice`).

    Parameters
    ----------
    fit
        A fit; its own data are used.
    level
        Coverage in (0, 1), 0.9 by default.
    method
        ``"auto"`` (default), ``"information"``, ``"sandwich"``, ``"profile"``, ``"bootstrap"``, ``"weighted"``,
        ``"parametric"`` or ``"jackknife"``.
    of
        In place of the parameters a function of them, such as ``lambda params: params.mean[1] - params.mean[0]``, or
        several by name, ``{"gap": function}``; each returns a number or an array, by jax.numpy.
    bounded
        Whether problems above the limits of `emjax.uncertainty.limits` (2000 parameters, or a few minutes of work for
        many rows) get no intervals by the information, the sandwich or the profile, with the status ``left_out``;
        computed whatever it takes with False.
    n_replicates, key, alpha
        For replicates: how many (1000 by default; for ``"jackknife"`` the most groups of rows that are left out), the
        random key (0 by default), and the parameter of ``"weighted"`` (.8137).
    progress
        Whether a line says how far the replicates are.

    Returns
    -------
    Intervals
        With their status: read ``message`` first. ``method`` is the one that was taken.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``of`` is not finite at the estimate.
    TypeError
        If ``of`` is no function, none of numbers, or none that JAX can differentiate.
    DataError
        If the matrices of all parameters do not fit the memory, or ``"parametric"`` has no law to draw from.
    """
    share("level", level)
    one_of("method", method, INTERVALS)
    if method in SCHEMES:
        n_replicates = _REPLICATES if n_replicates is None else whole("replicates", n_replicates, shown="n_replicates")
        if not_negative("alpha", alpha) == 0:
            raise ConfigError("alpha = 0 is not allowed: all weight would lie on one row; give a number above 0")
        if (status := _no_estimate(fit)) is not None:
            return left_out(fit, level, method=method, status=status, of=of)
        with progress_line(progress, method) as line:
            return by_resampling(fit, level, method, of, n_replicates=n_replicates, key=key, alpha=alpha, line=line)
    if n_replicates is not None:
        raise ConfigError(f"n_replicates says nothing to method='{method}': take one of {', '.join(SCHEMES)}")
    if bounded and (why := too_large(fit.mixture, fit.data.shape, followed=method == "profile")):
        if of is not None:
            raise ValueError(f"no intervals of a function: {why}; bounded=False computes them all the same")
        return left_out(fit, level, why, method="information" if method == "auto" else method)
    check_hessians(fit.mixture, fit.data.shape[1], what="the intervals")
    if method == "profile":
        return by_profile(fit, level, of)
    if method == "auto":
        return chosen(fit, level, of)
    return by_information(fit, level, method, of)


def _no_estimate(fit: Fit) -> IntervalStatus | None:
    """Why replicates of a fit would say nothing; ``None`` where they do."""
    if not fit.converged or fit.spurious:
        return IntervalStatus.NOT_AT_OPTIMUM
    with computing():
        params = fit.mixture.likelihood.to_frame(fit.params, Rows.of(fit.samples, fit.mixture.family).frame)
        # Where components are equal, their weights are any: EM would leave each replicate there.
        alike = coincide(fit.mixture.likelihood, jax.tree.map(np.asarray, params))
    return IntervalStatus.SINGULAR if alike else None
