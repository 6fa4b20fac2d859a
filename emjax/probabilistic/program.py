"""`program`: a NumPyro program as a model that is fitted, sampled and compared like a declared mixture."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax
import numpy as np

from emjax.bounds import written
from emjax.errors import ConfigError
from emjax.mixture import Mixture
from emjax.probabilistic.family import ProgramFamily
from emjax.probabilistic.finding import find_structure
from emjax.probabilistic.layout import given_arguments
from emjax.probabilistic.recognised import RecognisedFamily
from emjax.probabilistic.running import Model
from emjax.probabilistic.sketch import arguments_in, check_same
from emjax.probabilistic.structure import Structure
from emjax.scope import computing
from emjax.shown import Shown, Word

_KEPT = 8
"""So many programs with their data are kept taken apart."""

_BOUND: OrderedDict[Any, ProgramFamily] = OrderedDict()


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Program(Shown):
    """A NumPyro program, made by `program`; with data it becomes a `Mixture` (`declared`)."""

    model: Model
    latent: str | None
    plate: str | None
    component_axis: Mapping[str, int]
    prior: Literal["program"] | None
    fixed: Mapping[str, Any]

    def declared(self, data: Any) -> Mixture:
        """The mixture that the program is for data.

        Raises
        ------
        ConfigError, DataError
            If it is none, or the data do not go with it; in one line, with the site, the reason and the remedy.
        """
        with computing(), warnings.catch_warnings():
            # NumPyro warns of data that a label makes impossible, which is what some labels are for.
            warnings.filterwarnings("ignore", "Out-of-support values")
            given = given_arguments(self.model, data, self.fixed)
            identity = (self.model, self.latent, self.plate, tuple(sorted(self.component_axis.items())))
            key = (*identity, _fingerprint(given), _fingerprint(self.fixed))
            if key not in _BOUND:
                structure, packed = find_structure(
                    self.model,
                    given,
                    self.fixed,
                    latent=self.latent,
                    plate=self.plate,
                    component_axis=self.component_axis,
                )
                kind = ProgramFamily if structure.likeness is None else RecognisedFamily
                _BOUND[key] = kind(structure, packed, _identity(identity, structure, key))
            _BOUND.move_to_end(key)
            while len(_BOUND) > _KEPT:
                _BOUND.popitem(last=False)
        family = _BOUND[key]
        if self.prior is None:
            _check_identified(family)
        return Mixture(family, family.n_components, prior=None if self.prior is None else "default")

    def again(self, sketch: Mapping[str, Any], data: Any) -> Mixture:
        """The mixture that a result is of whose file holds this ``sketch`` of a program (`emjax.load`).

        ``data`` are those of the result, or the matrix of its columns, as the file has them. Raises `ConfigError` where
        the program is another one.
        """
        if isinstance(data, np.ndarray):
            data = arguments_in(sketch, data)
        mixture = self.declared(data)
        check_same(mixture.family, sketch)
        return mixture

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", Word(getattr(self.model, "__name__", repr(self.model)))
        for name in ("latent", "plate"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)
        if self.component_axis:
            yield "component_axis", dict(self.component_axis)
        if self.prior is None:
            yield "prior", None
        yield from ((name, Word(written(value))) for name, value in self.fixed.items())


def program(
    model: Model,
    latent: str | None = None,
    plate: str | None = None,
    *,
    component_axis: Mapping[str, int] | None = None,
    prior: Literal["program"] | None = "program",
    **fixed: Any,
) -> Program:
    r"""A NumPyro program with one discrete latent site per datum, as a model for `fit`, `sample` and `compare`.

    With the sites outside the plate of data as :math:`\theta` and the latent as :math:`z`, row :math:`k` of the
    mixture's matrix is the log density of the plate's sites with :math:`z = k`,

    .. math:: \log p(x_n, z_n = k \mid \theta),

    and everything outside the plate (sites and factors) is the prior :math:`\log p(\theta)`. EM maximises the sum over
    data of the logsumexp over k, plus the prior; samplers move on the same density. That is the density which NumPyro's
    own enumeration (``config_enumerate``) sums to.

    Parameters
    ----------
    model
        The program: a function that takes data and calls ``numpyro.sample``, also one inside handlers such as
        ``numpyro.handlers.reparam``. Its data come with `fit` and `sample`: an array (its first argument), a tuple
        (its first arguments), a mapping (arguments by name) or a table whose columns have the names of arguments.
        Arguments with one entry per datum are the data; sizes must follow them (``len(y)``).
    latent, plate
        The names of the discrete latent site and of its plate; by default the ones that there are.
    component_axis
        Of a site, which of its axes of length K is that of the components, where several could be:
        ``{"mu": 0}``. By default it is found.
    prior
        ``"program"`` (default): the program's own, so that `fit` gives the MAP in the space of its sites; ``None``: all
        priors flat, maximum likelihood.
    fixed
        Further arguments of the program by name.

    Raises
    ------
    ConfigError
        If an argument is out of range. What the program itself may not be is said when it meets data.

    Examples
    --------
    >>> import emjax, numpy as np, numpyro, numpyro.distributions as dist
    >>> def model(y):
    ...     w = numpyro.sample("w", dist.Dirichlet(np.ones(2)))
    ...     mu = numpyro.sample("mu", dist.Normal(0, 5).expand([2]).to_event(1))
    ...     with numpyro.plate("datum", len(y)):
    ...         z = numpyro.sample("z", dist.Categorical(w))
    ...         numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)
    >>> y = np.concatenate([np.linspace(-4, -2, 40), np.linspace(1, 3, 60)])
    >>> fit = emjax.fit(emjax.program(model), y, key=0)
    >>> fit.params.weights.round(1).tolist()
    [0.4, 0.6]

    References
    ----------
    Lange, "A gradient algorithm locally equivalent to the EM algorithm", Journal of the Royal Statistical Society B 57,
    1995, for the M-step; Obermeyer et al., "Tensor variable elimination for plated factor graphs", ICML 2019, for what
    NumPyro's enumeration computes.
    """
    if not callable(model):
        raise ConfigError(f"model = {written(model)} is no program; give the function that calls numpyro.sample")
    for name, value in (("latent", latent), ("plate", plate)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} = {written(value)} is not allowed; give the name of a site, in quotes")
    if prior not in (None, "program"):
        raise ConfigError(
            f"prior = {written(prior)} is not allowed; a program has its own: give 'program', or None for maximum "
            "likelihood"
        )
    axes = {} if component_axis is None else component_axis
    if not isinstance(axes, Mapping) or not all(isinstance(axis, int) for axis in axes.values()):
        raise ConfigError(f"component_axis = {written(component_axis)} is not allowed; give {{'site': axis}}")
    return Program(model, latent, plate, dict(axes), prior, fixed)


def _check_identified(family: ProgramFamily) -> None:
    """Refuse maximum likelihood where a parameter has no part in the likelihood: it has no maximum there."""
    with computing():
        idle = family.without_likelihood
    if idle:
        raise ConfigError(
            f"prior=None is maximum likelihood, and {idle[0]!r} has no part in the likelihood (it is a parameter of a "
            "prior): keep the program's priors, or give it as a fixed argument"
        )


def _identity(declared: tuple[Any, ...], found: Structure, key: tuple[Any, ...]) -> tuple[Any, ...]:
    """What tells a family from others. Data are part of it only where the density itself reads them."""
    observed = {argument for _, argument in found.observed}
    covariates = {column.name for column in found.layout.columns} - observed
    sites = tuple((site.name, site.shape, str(site.constraint), site.component_axis) for site in found.sites)
    reads, like = found.reads_data or bool(covariates), found.likeness
    return (
        *declared,
        key[-1],
        found.layout,
        found.values,
        sites,
        found.weights,
        found.shared_label,
        found.joint,
        found.smooth,
        found.exchangeable,
        None if like is None else (like.base, tuple(like.sites.items()), like.laws is None),
        key[-2] if reads else None,
    )


def _fingerprint(values: Mapping[str, Any]) -> str:
    """A digest of arguments: of arrays their content, of anything else its text."""
    digest = hashlib.sha256()
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.ndarray | jax.Array):
            array = np.ascontiguousarray(value)
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        else:
            digest.update(f"{name} {value!r}".encode())
    return digest.hexdigest()
