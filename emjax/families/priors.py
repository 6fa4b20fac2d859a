"""The prior of a mixture: a law for each site, in the order in which they are drawn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import written
from emjax.families.frame import Frame
from emjax.families.given_laws import as_law, between, elsewhere
from emjax.families.laws import Dirichlet, FromNumPyro, Law, NormalGiven
from emjax.families.parameters import MixtureParams, Parameter
from emjax.shown import Shown

WEIGHTS = "weights"


@jax.tree_util.register_pytree_with_keys_class
class Prior(Shown):
    r"""The prior of a mixture, :math:`p(\theta) = \prod_s p_s(\theta_s \mid \theta_{<s})` over its sites :math:`s`.

    The same object drives MAP-EM, every sampler and the NumPyro program. ``prior["weights"]``, ``prior["mean"]`` and so
    on are its laws (`emjax.laws`). It is made by a `Mixture` for data, ``mixture.resolved_prior(x)``: what the user
    chose, and the family's defaults for the rest.
    """

    __slots__ = ("family", "laws", "n_components", "n_features")

    def __init__(self, family: Any, n_components: int, n_features: int, laws: Mapping[str, Law]) -> None:
        self.family, self.n_components, self.n_features = family, n_components, n_features
        self.laws = dict(laws)

    def __getitem__(self, site: str) -> Law:
        return self.laws[site]

    def __contains__(self, site: str) -> bool:
        return site in self.laws

    def __iter__(self) -> Iterator[str]:
        return iter(self.laws)

    def keys(self) -> tuple[str, ...]:
        """The sites, in the order in which they are drawn."""
        return tuple(self.laws)

    def items(self) -> tuple[tuple[str, Law], ...]:
        """The sites and their laws."""
        return tuple(self.laws.items())

    def replace(self, **laws: Law) -> Prior:
        """The same with other laws at some sites."""
        return Prior(self.family, self.n_components, self.n_features, {**self.laws, **laws})

    @property
    def concentration(self) -> Any:
        """The concentration of the weights' Dirichlet law, ``(n_components,)``."""
        return self.laws[WEIGHTS].concentration  # type: ignore[attr-defined]

    @property
    def components(self) -> dict[str, Law]:
        """The laws of the components' parameters."""
        return {site: law for site, law in self.laws.items() if site != WEIGHTS}

    def parameter(self, site: str) -> Parameter:
        """What is declared of a site."""
        return self.family.site(site)

    def shape(self, site: str) -> tuple[int, ...]:
        """The shape of a site's value."""
        if site == WEIGHTS:
            return (self.n_components,)
        return self.parameter(site).shape(self.n_components, self.family.lengths(self.n_features))

    @property
    def exchangeable(self) -> bool:
        """Whether it treats all components alike, so that the posterior has K! equal copies of every mode; on the host.

        Where it does not, labels mean something: they are neither shuffled by samplers nor matched to one another.
        """
        alpha = np.asarray(self.concentration)
        if (alpha != alpha[0]).any():
            return False
        return not any(
            law.tells_apart(len(self.shape(site)))
            for site, law in self.components.items()
            if not self.parameter(site).shared
        )

    @property
    def fault(self) -> str:
        """Why it integrates to nothing finite, where that is known without looking at its laws; empty elsewhere."""
        return ""

    def at_sites(self, params: MixtureParams) -> dict[str, Any]:
        """The values of the sites at some parameters."""
        own = {site: self.family.at_site(site, params) for site in self.components}
        return {WEIGHTS: params[WEIGHTS], **own}

    def log_probs(self, params: MixtureParams) -> dict[str, Float[Array, ""]]:
        """The log density of each site given those before it, all its numbers together, in the space of the sites."""
        values = self.at_sites(params)
        return {site: jnp.sum(law.log_prob(values[site], params)) for site, law in self.laws.items()}

    def log_prob(self, params: MixtureParams) -> Float[Array, ""]:
        """The log density in the space of the sites: the sum of `log_probs`."""
        return sum(self.log_probs(params).values(), jnp.zeros(()))

    def taken(self, take: Callable[[str, Any], Any]) -> MixtureParams:
        """Parameters whose sites are ``take(site, distribution of NumPyro)``, each given those before it."""
        values: dict[str, Any] = {}
        for site, law in self.laws.items():
            given = MixtureParams(self.family, self.family.from_sites(values))
            values[site] = take(site, law.numpyro(self.shape(site), given))
        own = self.family.from_sites(values)
        return MixtureParams(self.family, {WEIGHTS: values[WEIGHTS], **{n: own[n] for n in self.family.parameters}})

    def drawn(self, key: Array) -> MixtureParams:
        """Parameters drawn from it; traceable. Its laws must be proper (`emjax.families.proper`)."""

        def draw(_: str, law: Any) -> Any:
            nonlocal key
            key, own = jax.random.split(key)
            return law.sample(own)

        return self.taken(draw)

    def draws(self, key: Array, n_draws: int) -> MixtureParams:
        """So many of these, stacked, on the host."""
        import numpyro  # noqa: F401  (it adds settings of JAX's, and so comes before any tracing)

        with jax.numpy_rank_promotion("allow"):  # NumPyro relies on it
            return jax.tree.map(np.asarray, _drawn(self, n_draws, key))

    def to_frame(self, frame: Frame) -> Prior:
        """The same prior for data in the units of a frame."""
        moved = {WEIGHTS: self.laws[WEIGHTS]}
        for site, law in self.components.items():
            parameter = self.parameter(site)
            shift = frame.shift if parameter.unit.value == "location" else 0.0
            moved[site] = law.rescaled(shift, parameter.scale(frame)) if parameter.unit.power else law
        return Prior(self.family, self.n_components, self.n_features, moved)

    def log_jacobian(self, frame: Frame) -> Float[Array, ""]:
        """``log p(params of x) - log p(params of z)``: what the log density loses in the way back."""
        terms = []
        for site in self.components:
            parameter = self.parameter(site)
            terms.append((1 if parameter.shared else self.n_components) * parameter.log_jacobian(frame))
        return sum(terms, jnp.zeros(()))

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield from self.laws.items()

    def __reduce__(self) -> tuple[Any, ...]:
        return Prior, (self.family, self.n_components, self.n_features, self.laws)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        """The laws, and what is static."""
        children = tuple((jax.tree_util.DictKey(site), law) for site, law in self.laws.items())
        return children, (self.family, self.n_components, self.n_features, tuple(self.laws))

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], laws: Any) -> Prior:
        """The inverse."""
        family, n_components, n_features, sites = static
        return cls(family, n_components, n_features, dict(zip(sites, laws, strict=True)))


@functools.partial(jax.jit, static_argnums=1)
def _drawn(prior: Prior, n_draws: int, key: Any) -> MixtureParams:
    return jax.vmap(prior.drawn)(jax.random.split(key, n_draws))


def given_laws(family: Any, n_components: int, given: Mapping[str, Any]) -> dict[str, Law]:
    """What a user wrote, as laws; checked as far as it can be without data.

    Raises
    ------
    ValueError
        That names the site that is unknown or whose law does not fit.
    """
    known = [WEIGHTS, *family.sites]
    laws = {}
    for site, one in given.items():
        if site not in known:
            raise ValueError(f"prior: {site!r} is no parameter of {family.name}; there are {', '.join(known)}")
        law = as_law(site, one)
        _check_numbers(site, law)
        if site == WEIGHTS:
            law = _of_weights(law, n_components)
        elif not law.fits(family.site(site)):
            raise ValueError(f"prior[{site!r}] is a {type(law).__name__}, which is no law of what {site} is made of")
        elif (ends := family.site(site).domain.ends) and (where := elsewhere(law, ends)):
            kind = type(getattr(law, "distribution", law)).__name__
            raise ValueError(f"prior[{site!r}] is a {kind}, a law of {where}; {site} needs a law of {between(*ends)}")
        laws[site] = _with_arrays(law)
    return laws


def _check_numbers(site: str, law: Law) -> None:
    """Raise a `ValueError` that names what of a law is no number, nor an array of some."""
    own = () if isinstance(law, FromNumPyro) else dataclasses.fields(law)  # type: ignore[arg-type]
    for name in (field.name for field in own if not field.metadata.get("static")):
        value = getattr(law, name)
        try:
            if value is None:  # NumPy has a number for it
                raise TypeError
            np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            why = "; laws of it are for emjax.selection.telescope" if isinstance(value, Law) else ""
            raise ValueError(
                f"prior[{site!r}] is a {type(law).__name__} whose {name} is {written(value)}: give numbers{why}"
            ) from None


def _of_weights(law: Law, n_components: int) -> Dirichlet:
    if not isinstance(law, Dirichlet):
        raise ValueError(f"prior['weights'] must be a Dirichlet law, not {type(law).__name__}")
    alpha = np.asarray(law.concentration, dtype=float)
    if alpha.shape not in ((), (n_components,)) or not (alpha > 0).all():
        raise ValueError(
            f"prior['weights'] has a concentration of shape {alpha.shape}, expected ({n_components},) and positive"
        )
    return Dirichlet(np.broadcast_to(alpha, (n_components,)).copy())


def _with_arrays(law: Law) -> Law:
    """The law with its numbers as arrays; JAX would take a list for a tree of numbers, each of them alone."""
    is_array = None if isinstance(law, FromNumPyro) else lambda one: isinstance(one, list | tuple)
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=float), law, is_leaf=is_array)


def check_shapes(prior: Prior) -> None:
    """Raise a `ValueError` where the numbers of a law cannot be those of its site."""
    for site, law in prior.components.items():
        shape = prior.shape(site)
        for leaf in jax.tree.leaves(law):
            if law.n_axes == 2 and np.ndim(leaf) >= 2:
                fits = np.shape(leaf)[-2:] == shape[-2:]  # a matrix of another size cannot be stretched to this one
            elif law.n_axes == 2:
                fits = np.shape(leaf) in ((), shape[:-2])
            elif isinstance(law, NormalGiven):
                fits = _stretches(leaf, () if leaf is law.precision else shape)
            else:
                fits = bool(law.n_axes) or _stretches(leaf, shape)
            if not fits:
                raise ValueError(
                    f"prior[{site!r}] has numbers of shape {np.shape(leaf)}, which do not fit {site} of shape {shape}"
                )


def _stretches(leaf: Any, shape: tuple[int, ...]) -> bool:
    """Whether numbers can be broadcast to a shape."""
    try:
        return np.broadcast_shapes(np.shape(leaf), shape) == shape
    except ValueError:
        return False
