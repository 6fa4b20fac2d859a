"""`select`: every number of components, structure and family that was asked for, fitted in one sweep and compared.

Compiling is what a sweep over few data takes: 183 seconds of a processor for nine numbers of components and four
structures of Old Faithful by a loop over `emjax.fit`. So all numbers of components of a structure share one program,
whose components are filled up (`emjax.em.filled`), and structures are fitted side by side, a thread each, since XLA
gives Python's lock away while it compiles and runs: 42 seconds. Each candidate is what `emjax.fit` gives with the same
key, to rounding, but where fewer than three starts have reached the best optimum: then there are more, up to `MOST`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from emjax.bounds import not_negative, one_of, whole
from emjax.catalogue import DEFAULT_FAMILY
from emjax.criteria import CRITERIA
from emjax.em.filled import may_fill
from emjax.em.fit import fit_in_sweep
from emjax.em.further import FIRST
from emjax.errors import EmjaxError
from emjax.keys import KeyLike, kept_key
from emjax.progress import both, progress_line
from emjax.result import Fit, Status
from emjax.selection.candidates import Group, groups_of
from emjax.selection.measures import with_criteria, with_nec
from emjax.selection.selection import Candidate, Selection, ranked
from emjax.selection.side_by_side import side_by_side

MOST = 960
"""Starts of a candidate at most, where their best was reached too seldom and EM is cheap."""

_INTERRUPTED = "not fitted: the sweep was interrupted"


def select(
    x: Any,
    *,
    family: Any = DEFAULT_FAMILY,
    n_components: Any = range(1, 10),
    covariance: Any = None,
    weights: Any = None,
    labels: Any = None,
    prior: Any = None,
    criterion: str = "bic",
    key: KeyLike = None,
    n_init: int | None = None,
    max_iter: int = 10_000,
    tol: float = 1e-6,
    progress: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Selection:
    """Fit every number of components, covariance structure and family that is asked for, and rank them.

    Parameters
    ----------
    x, weights, labels
        The data, as `emjax.fit` takes them.
    family
        A family by name or as an object (``emjax.Normal("tied")``), or several. Families of whole numbers are not
        compared with those of real ones.
    n_components
        A number, or several: ``range(1, 10)`` by default.
    covariance
        ``"all"`` fourteen, a structure or several, for families that have them. By default full, tied, diag and
        spherical of a family that was named, and its own of one that was given as an object. Of one feature, structures
        that are the same model are fitted once.
    prior
        ``None`` (maximum likelihood) or ``"default"``: criteria are then taken at the MAP (Fraley and Raftery, Journal
        of Classification 24, 2007).
    criterion
        What ranks the candidates, ``"bic"`` by default; see `emjax.criteria`. All are computed, the lower the better.
    key
        A whole number or JAX random key, the same for every candidate. Left out, a number is drawn and kept.
    n_init, max_iter, tol
        As for `emjax.fit`. With ``n_init=None`` there are 20 starts of each candidate and further ones until the best
        optimum has been reached three times and is settled, up to `MOST` where EM is cheap.
    progress, on_progress
        A line that says how far the sweep is; a function that is called with the number of candidates done, their
        number, and the name of the best so far, from one thread at a time. Ctrl-C ends the sweep with what there is.

    Returns
    -------
    Selection
        The candidates with their fits, criteria and flags. One that cannot be fitted has a reason in place of a fit.

    Raises
    ------
    DataError, ConfigError
        If the data cannot be used by a family, or an argument is out of range.
    """
    one_of("criterion", criterion, CRITERIA)
    if n_init is not None:
        whole("n_init", n_init)
    whole("max_iter", max_iter)
    not_negative("tol", tol)
    key = kept_key("emjax.select", key)
    groups = groups_of(
        x,
        family=family,
        n_components=n_components,
        covariance=covariance,
        weights=weights,
        labels=labels,
        prior=prior,
    )
    settings = {"key": key, "n_init": n_init, "max_iter": max_iter, "tol": tol, "most": MOST}
    with progress_line(progress, "selection") as line:
        tell = both(line, on_progress, _in_words, "models")
        found, interrupted = _swept(groups, settings, criterion, tell)
    candidates = tuple(each for group in found for each in with_nec(group))
    return Selection(candidates=candidates, criterion=criterion, key=key, interrupted=interrupted)


def _in_words(done: int, total: int, best: str) -> str:
    return f"{done} of {total} models" + (f", the best so far is {best}" if best else "")


def _swept(
    groups: tuple[Group, ...], settings: dict[str, Any], criterion: str, tell: Callable[..., None] | None
) -> tuple[list[list[Candidate]], bool]:
    """The candidates of every group, in order, and whether Ctrl-C has ended the sweep."""
    done, lock = [list[Candidate]() for _ in groups], threading.Lock()
    total = sum(len(group.n_components) for group in groups)

    def work(place: int, stop: threading.Event) -> None:
        for each in _fitted(groups[place], settings, stop):
            done[place].append(each)
            if tell is None:
                continue
            with lock:
                told = [one for group in done for one in tuple(group)]
                best = ranked(told, criterion)
                tell(len(told), total, best[0].name if best else "")

    # What takes longest begins, or one core would have nothing to do at the end.
    order = sorted(range(len(groups)), key=lambda place: _size(groups[place]), reverse=True)
    interrupted = side_by_side([functools.partial(work, place) for place in order])
    return [_completed(group, found) for group, found in zip(groups, done, strict=True)], interrupted


def _size(group: Group) -> tuple[int, int]:
    """What compiling a group and iterating it grow with: how many parameters are declared, and how many numbers."""
    mixture = group.mixture(max(group.n_components))
    return len(group.family.parameters), mixture.n_parameters(group.samples.counted.n_features)


def _fitted(group: Group, settings: dict[str, Any], stop: threading.Event) -> Iterator[Candidate]:
    """The candidates of one group, those with fewest components first: most are what somebody waits in vain for."""
    for n_components in group.n_components:
        if stop.is_set():
            return
        if refused := group.refuses(n_components):
            yield Candidate(group.name, group.family, n_components, None, refused, prior=group.prior)
            continue
        filled = _filled_to(group, n_components, settings["n_init"] or FIRST)
        fit: Fit | None = None
        failure = ""
        try:
            fit = fit_in_sweep(group.mixture(n_components), group.samples, filled=filled, **settings)
        except EmjaxError as error:
            failure = str(error)
        if fit is not None and fit.status is Status.INTERRUPTED:
            return
        yield with_criteria(Candidate(group.name, group.family, n_components, fit, failure, prior=group.prior), filled)


def _filled_to(group: Group, n_components: int, n_starts: int) -> int:
    """To how many components a program is filled up: the most that can be fitted, or where that costs, half as many."""
    n_rows = group.samples.counted.n_samples
    fitted = (each for each in group.n_components if each <= n_rows and not group.refuses(each))
    size = max(fitted, default=n_components)
    mixture = group.mixture(n_components)
    mixture = mixture.resolved(group.samples)
    while size > n_components and not may_fill(mixture, group.samples, size, n_starts):
        size //= 2
    return max(size, n_components)


def _completed(group: Group, found: list[Candidate]) -> list[Candidate]:
    """The candidates by their numbers of components, with those that were not reached."""
    by_number = {each.n_components: each for each in found}
    return [
        by_number.get(number, Candidate(group.name, group.family, number, None, _INTERRUPTED))
        for number in group.n_components
    ]
