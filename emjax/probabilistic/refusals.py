"""What a program may not be, each in one line that names the site, the reason and what to do instead.

What can be done by EM is a mixture: given the sites outside the plate of data, data are independent, and of each one
discrete number is unknown. Everything else is refused here, before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from emjax.errors import ConfigError
from emjax.probabilistic.running import Trace, frame_of, is_latent, is_random, unwrapped

_NUTS = "sample it by numpyro.infer.MCMC"


def refuse(text: str) -> NoReturn:
    """Say why a program cannot enter."""
    raise ConfigError(text)


def check_messages(trace: Trace) -> None:
    """Refuse what no mixture has: control flow, parameters without a prior, minibatches."""
    for name, site in trace.items():
        if site["type"] == "control_flow":
            refuse(
                f"the program scans over data at {name!r}, so that they depend on each other: {_NUTS}, or write the "
                "model with one plate"
            )
        if site["type"] == "param":
            refuse(f"{name!r} is a numpyro.param, which has no prior: make it a numpyro.sample site")
        if site["type"] == "plate":
            size, part = site["args"]
            if part is not None and part != size:
                refuse(
                    f"plate {name!r} takes {part} of {size} data (a minibatch), and EM needs all: leave out "
                    "subsample_size"
                )


def latent_of(trace: Trace, asked: str | None) -> str:
    """The one discrete latent site."""
    latents = {name: site for name, site in trace.items() if is_latent(site)}
    discrete = [name for name, site in latents.items() if site["fn"].support.is_discrete]
    if asked is not None and asked not in latents:
        refuse(f"latent={asked!r} is no latent site; the program has {', '.join(latents) or 'none'}")
    if asked is not None and asked not in discrete:
        refuse(f"latent={asked!r} is continuous: EM sums over a discrete site; the program has {_listed(discrete)}")
    if not discrete:
        refuse(
            "the program has no discrete latent site, so there is nothing for EM to sum over: write the label of each "
            "datum as a site z ~ Categorical inside the plate, in place of a MixtureSameFamily"
        )
    inside = [name for name in discrete if latents[name]["cond_indep_stack"]]
    chosen = asked or (inside or discrete)[0]
    if not latents[chosen]["cond_indep_stack"]:
        refuse(
            f"{chosen!r} is one latent over all data, not one per datum, so the data are no mixture given the other "
            f"sites: sum over it (numpyro.contrib.funsor.config_enumerate) and {_NUTS}"
        )
    others = [name for name in discrete if name != chosen]
    for name in others:
        if not latents[name]["cond_indep_stack"]:
            refuse(
                f"{name!r} is a discrete site outside the plate: EM needs continuous parameters beside the label "
                f"{chosen!r}; fit the program once for each value, given as a further argument"
            )
    if others:
        refuse(
            f"{chosen!r} and {others[0]!r} are two discrete latents of each datum: join them to one site with the "
            "product of their values"
        )
    return chosen


def plate_of(trace: Trace, latent: str, asked: str | None) -> str:
    """The plate of data: that of the latent."""
    frames = [frame.name for frame in trace[latent]["cond_indep_stack"]]
    if asked is not None and asked not in frames:
        refuse(f"plate={asked!r} does not hold the latent {latent!r}, which stands in {_listed(frames)}")
    chosen = asked or frames[0]
    others = [frame for frame in trace[latent]["cond_indep_stack"] if frame.name != chosen and frame.size > 1]
    if others:
        refuse(
            f"{latent!r} stands in the plates {_listed(frames)}, so each datum has {others[0].size} of it: one label "
            "per datum is needed; make the innermost entries the data, or name the plate of data by plate="
        )
    return chosen


def check_enumerable(site: Mapping[str, Any], latent: str) -> None:
    """Refuse a label that is no single number, or has no finite list of values."""
    law, name = site["fn"], type(unwrapped(site["fn"])).__name__
    if law.event_shape:
        refuse(f"{latent!r} is a vector for each datum ({name}): EM sums over one number, such as a Categorical's")
    if not law.has_enumerate_support:
        refuse_endless(latent, name)


def refuse_endless(latent: str, name: str) -> NoReturn:
    """Say that a label has no finite list of values."""
    refuse(
        f"{latent!r} has no finite list of values ({name}): bound it, for example by a Categorical over the values "
        "that matter"
    )


def values_of(site: Mapping[str, Any], latent: str) -> tuple[Any, ...]:
    """The finite values of the label."""
    try:
        return tuple(np.asarray(site["fn"].enumerate_support(expand=False)).ravel().tolist())
    except NotImplementedError:
        # A binomial label, say, of another number of trials for each datum.
        refuse_endless(latent, f"{type(unwrapped(site['fn'])).__name__} of arguments that vary")


def check_plate(trace: Trace, latent: str, plate: str) -> None:
    """Refuse what else may not stand in the plate, and a plate without data."""
    inside = [(name, site) for name, site in trace.items() if is_random(site) and frame_of(site, plate)]
    for name, site in inside:
        if not site["is_observed"] and name != latent:
            imputed = name.endswith("_unobserved")
            refuse(
                f"{name!r} is a continuous latent of each datum, and EM sums over {latent!r} alone: "
                + ("leave out obs_mask and mask the site (numpyro.handlers.mask)" if imputed else "integrate it out")
                + f", or {_NUTS}"
            )
        found, expected = tuple(site["log_prob_shape"]), tuple(site["fn"].batch_shape)
        if name != latent and found != expected:
            refuse(
                f"{name!r} is observed with values of shape {site['value'].shape}, and its distribution stands for "
                f"{expected}: give data of that shape, or make their last axis part of a datum (.to_event(1))"
            )
    if not any(site["is_observed"] for _, site in inside):
        refuse(f"nothing in plate {plate!r} is observed: give the data as obs= of a site there")
    for name, site in trace.items():
        # A site that hangs on the labels of all data is of all data at once.
        if is_random(site) and not frame_of(site, plate) and site["is_observed"] and not _is_factor(site):
            refuse(
                f"{name!r} is observed outside plate {plate!r}, so it belongs to no datum: move it into the plate, or "
                "make it a numpyro.factor of the prior"
            )


def _is_factor(site: Mapping[str, Any]) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
