"""What all methods share: failures that stay with their replicate, keys, mixtures, and the time limit."""

from __future__ import annotations

import contextvars
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.errors import EmjaxError
from emjax.experiments.config.mixtures import declared_for
from emjax.experiments.plan.jobs import method_seed
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate
from emjax.naming import scalar_parameters
from emjax.samples import Samples

if TYPE_CHECKING:
    import jax

    from emjax.mixture import Mixture

FAILURES = (EmjaxError, ValueError, ArithmeticError)
"""What data can do to a method (`numpy.linalg.LinAlgError` is a `ValueError`). Anything else, such as too little
memory, Ctrl-C or a mistake in the code, belongs to the job."""


class TimeLimitReached(EmjaxError):
    """A job has used up the time that ``execution.time_limit`` gives it."""


def check_deadline(deadline: float | None, done: int, n_replicates: int) -> None:
    """Raise `TimeLimitReached` if the deadline, a value of ``time.monotonic``, has passed."""
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeLimitReached(
            f"the time limit was reached after {done} of {n_replicates} replicates: raise execution.time_limit or "
            "lower execution.batch"
        )


_raises = contextvars.ContextVar("_raises", default=False)


@contextmanager
def failures_raised() -> Iterator[None]:
    """Within this block what fails on one replicate is raised, for whoever wants to look into it."""
    token = _raises.set(True)
    try:
        yield
    finally:
        _raises.reset(token)


def failed(error: BaseException) -> Outcome:
    """The outcome of a replicate on which the method failed, with the reason in one line."""
    if _raises.get():
        raise error
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return Outcome(status="failed", message=text if isinstance(error, EmjaxError) else f"{kind}: {text or kind}")


def one_by_one(
    replicates: Sequence[Replicate], deadline: float | None, run: Callable[[Replicate], Outcome]
) -> Iterator[Outcome]:
    """The outcome of each replicate, one after the other; one that fails says why, and the others go on."""
    for done, replicate in enumerate(replicates):
        check_deadline(deadline, done, len(replicates))
        try:
            outcome = run(replicate)
        except FAILURES as error:
            outcome = failed(error)
        yield outcome


def random_key(spec: Mapping[str, Any], number: int) -> jax.Array:
    """The method's random key on a replicate; it depends on neither the job nor what ran before."""
    import jax

    return jax.random.key(method_seed(spec, number))


def fit_arguments(method: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a method as `emjax.fit` takes them."""
    settings = ("n_init", "max_iter", "tol", "starts", "accelerate")
    return {**{name: method[name] for name in settings}, "dtype": method["precision"]}


def sample_arguments(method: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a method as `emjax.sample` takes them; what is left open is left to the sampler."""
    settings = ("chains", "warmup", "draws", "target_accept_prob", "pseudo_rows")
    return {"method": method["kind"], "dtype": method["dtype"], **{name: method.get(name) for name in settings}}


def with_prior_of(spec: Mapping[str, Any], mixture: Any, data: Any) -> Mixture:
    """The mixture with the prior that the model section means on these data; a program as it is declared for them.

    Where the truth is drawn from a prior it is one and the same on all data, which do not scale it.
    """
    if spec["data"].get("kind") != "prior":
        return declared_for(spec["model"], mixture, data)
    from emjax.experiments.work.prior_truth import scaled_by

    scale = scaled_by(spec["data"])
    fixed = declared_for(spec["model"], mixture, scale)
    return dataclasses.replace(fixed, prior=fixed.resolved_prior(scale))


def of_columns(
    function: Callable[[np.ndarray], np.ndarray], mixture: Mixture, data: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of a mixture's rows, as one of rows in the columns of a data set: a program has them in its order."""
    family, names = mixture.family, tuple(data.feature_names)
    if family.own_prior() is None:
        return function
    return lambda rows: function(family.rows_of(Samples(np.asarray(rows, float), names)).values)


def is_exchangeable(mixture: Mixture) -> bool:
    """Whether the order of the components means nothing: that of a program may mean something."""
    own = mixture.family.own_prior()
    return own is None or bool(own.exchangeable)


def point_estimates(
    named: Mapping[str, np.ndarray], feature_names: tuple[str, ...], levels: Any = None, own_axes: Any = None
) -> tuple[ParameterEstimate, ...]:
    """Every single number of named parameters, without standard errors."""
    return tuple(
        ParameterEstimate(parameter.name, float(named[parameter.variable][parameter.index]))
        for parameter in scalar_parameters(named, feature_names, levels, own_axes)
    )
