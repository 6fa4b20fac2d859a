"""A NumPyro program as a family of components: row k is the log density of each datum with its label at value k.

The latent sites outside the plate of data are the parameters, under their own names; one that has an axis of components
is a parameter of each, the others all components share. Where the label's law is nothing but a site of weights, these
are the mixture's weights; elsewhere (weights with covariates, a truncated label) the label's log probability is part of
the rows and the mixture has no weights of its own. Statistics and M-step are those of any family that gives a density
alone: the gradient and the Hessian of the expected log density, and a damped Newton step (`emjax.families.ascent`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.errors import DataError
from emjax.families.arrays import as_floats
from emjax.families.ascent import ascend, derivatives
from emjax.families.base import Family, Laws
from emjax.families.domains import REAL
from emjax.families.frame import Frame, identity_frame
from emjax.families.laws import Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.families.priors import WEIGHTS
from emjax.matrix import has_names
from emjax.moments import Summary
from emjax.probabilistic.layout import given_arguments
from emjax.probabilistic.prior import Outside, ProgramPrior
from emjax.probabilistic.running import drawn
from emjax.probabilistic.sketch import sketch_of
from emjax.probabilistic.starts import near_the_middle, pooled, some_rows, spoken_for
from emjax.probabilistic.structure import Structure
from emjax.probabilistic.supports import domain_of
from emjax.samples import Samples, as_samples
from emjax.scope import computing

_COLLAPSED = 1e-8
"""A positive parameter of a component has collapsed where it is so small a share of the largest of all of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class ProgramFamily(Family):
    """The components of a program, made by `emjax.program` for data.

    Attributes
    ----------
    structure
        The program taken apart.
    packed
        The data it was taken apart with, ``(n, d)``.
    identity
        What tells it from other programs: equal ones share their compiled code.
    """

    structure: Structure
    packed: np.ndarray = dataclasses.field(repr=False)
    identity: tuple[Any, ...] = dataclasses.field(repr=False)

    name: ClassVar[str] = "program"

    # NumPyro keeps its handlers in one place for all threads: two that trace would hear each other's sites.
    one_thread: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProgramFamily) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"program({getattr(self.structure.model, '__name__', self.structure.model)})"

    @functools.cached_property
    def sketch(self) -> dict[str, Any]:
        """What a file keeps of the program, see `emjax.probabilistic.sketch`."""
        with computing():
            return sketch_of(self, near_the_middle(self, 0))

    # -- the declaration

    @property
    def n_components(self) -> int:
        """The number of values of the label."""
        return self.structure.n_components

    @property
    def n_columns(self) -> int:
        """The number of columns of the data as a matrix."""
        return int(self.packed.shape[1])

    @functools.cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The latent sites outside the plate, in the order in which they are drawn."""
        found = {}
        for site in self.structure.sites:
            own = self._own_axes(site.name)
            found[site.name] = Parameter(domain_of(site.constraint), own, shared=site.component_axis is None)
        return found

    def _own_axes(self, name: str) -> tuple[str, ...]:
        site = self._sites[name]
        n_axes = len(site.shape) - (site.component_axis is not None)
        return tuple(f"{name}_dim_{i}" for i in range(n_axes))

    @functools.cached_property
    def _sites(self) -> dict[str, Any]:
        return {site.name: site for site in self.structure.sites}

    @property
    def own_axes(self) -> Mapping[str, bool]:
        """Of each parameter and output whether all components share it; none has axes of features."""
        outputs = {site.name: site.component_axis is None for site in self.structure.outputs}
        return {name: parameter.shared for name, parameter in self.parameters.items()} | outputs

    @property
    def weighted(self) -> bool:
        """Whether the weights are a site."""
        return self.structure.weights is not None

    @property
    def joint(self) -> bool:
        """Whether components cannot be moved one by one."""
        return self.structure.joint

    @property
    def discrete(self) -> bool:
        """Whether all columns are whole numbers that the program draws."""
        columns, drawn_of = self.structure.layout.columns, {argument for _, argument in self.structure.observed}
        return all(column.name in drawn_of and np.dtype(column.dtype).kind in "iub" for column in columns)

    @property
    def has_marginals(self) -> bool:
        """Whether there is but one column, and it is drawn: of more, a program says nothing of one alone."""
        columns, observed = self.structure.layout.columns, self.structure.observed
        return self.n_columns == 1 and {argument for _, argument in observed} == {columns[0].name}

    @property
    def smooth(self) -> bool:
        """Whether densities have second derivatives by automatic differentiation."""
        return self.structure.smooth

    def lengths(self, n_features: int) -> dict[str, int]:
        """The lengths of all axes of all parameters."""
        found = {"feature": n_features}
        for name, site in self._sites.items():
            shape = [n for axis, n in enumerate(site.shape) if axis != site.component_axis]
            found |= dict(zip(self._own_axes(name), shape, strict=True))
        return found

    def n_features(self, params: Any) -> int:
        """The number of columns of the data."""
        return self.n_columns

    @property
    def derived(self) -> tuple[str, ...]:  # type: ignore[override]
        """The weights where they are none of the parameters, or their site under its own name; and the outputs."""
        found = self.structure.weights
        weights = (WEIGHTS,) if found is None else () if found.site == WEIGHTS else (found.site,)
        return (*weights, *self.outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the program computes from its parameters."""
        return tuple(site.name for site in self.structure.outputs)

    def reported(self, n_features: int) -> tuple[str, ...]:
        """The parameters, and what the program computes from them."""
        return (*self.parameters, *self.outputs)

    def reading(self, name: str) -> Parameter:
        """What is declared of a parameter or of an output, which may be any number."""
        return self.parameters.get(name) or Parameter(REAL, (), shared=self.own_axes[name])

    def derive(self, name: str, params: MixtureParams) -> Any:
        """The site of the weights, or the average probability of each label; or an output."""
        found = self.structure.weights
        if found is not None and name == found.site:
            return found.of(params[WEIGHTS])
        values = {each: params[each] for each in (*self.parameters, WEIGHTS)}
        leading = np.ndim(params[WEIGHTS]) - 1
        if any(isinstance(value, jax.core.Tracer) for value in values.values()):
            return _mapped(self, name, leading)(values)
        with computing():
            return np.asarray(_derived(self, name, values, leading))

    def _output(self, name: str, values: Values) -> Any:
        return self.structure.output(name, self.sites_at(MixtureParams(self, values)))

    def _average_weights(self, values: Values) -> Float[Array, " K"]:
        given = self.sites_at(MixtureParams(self, values))
        data = self.structure.layout.unpacked(Observations(y=self._some.T))
        return jnp.mean(jax.nn.softmax(self.structure.label_matrix(data, given), axis=0), axis=1)

    @functools.cached_property
    def without_likelihood(self) -> tuple[str, ...]:
        """Parameters that have no part in the density of data, such as those of a prior."""
        middle = MixtureParams(
            self, {**near_the_middle(self, 0), WEIGHTS: np.full(self.n_components, 1.0 / self.n_components)}
        )
        rows = Observations(y=self._some.T)

        def density(values: Values) -> Array:
            kernel = self.log_kernel(MixtureParams(self, {**dict(middle.items()), **values}), rows)
            return jnp.sum(jnp.where(jnp.isfinite(kernel), kernel, 0.0) ** 2)

        slopes = jax.grad(density)({name: middle[name] for name in self.parameters})
        return tuple(name for name, slope in slopes.items() if not np.nan_to_num(np.asarray(slope), nan=1.0).any())

    @functools.cached_property
    def _some(self) -> np.ndarray:
        return some_rows(self.packed)

    def sites_at(self, params: MixtureParams) -> dict[str, Any]:
        """The values of the program's sites outside the plate at parameters."""
        found = {}
        for name, site in self._sites.items():
            value = jnp.asarray(params[name])
            found[name] = value if site.component_axis is None else jnp.moveaxis(value, 0, site.component_axis)
        weights = self.structure.weights
        if weights is not None:
            k = self.n_components
            given = params[WEIGHTS] if WEIGHTS in params else jnp.full(k, 1.0 / k)
            found[weights.site] = weights.of(given)
        return found

    def at_values(self, values: Mapping[str, Any]) -> MixtureParams:
        """The parameters at values of the program's sites; further axes may lead."""
        weights, k = self.structure.weights, self.n_components
        if weights is not None:
            found = {WEIGHTS: weights.all_of(values[weights.site])}
        else:
            first = next(iter(self._sites.values()))
            leading = np.shape(values[first.name])[: np.ndim(values[first.name]) - len(first.shape)]
            found = {WEIGHTS: jnp.full((*leading, k), 1.0 / k)}
        for name, site in self._sites.items():
            value = jnp.asarray(values[name])
            if site.component_axis is not None:
                leading = value.ndim - len(site.shape)
                value = jnp.moveaxis(value, leading + site.component_axis, leading)
            found[name] = value
        return MixtureParams(self, found)

    # -- data

    def rows_of(self, x: Any) -> Any:
        """The program's data as a matrix with the names of its arguments."""
        layout = self.structure.layout
        if isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] == self.n_columns and self._of_rows:
            return Samples(np.ascontiguousarray(x, float), layout.labels)
        if isinstance(x, Samples) or has_names(x):
            table = x if isinstance(x, Samples) else as_samples(x, missing=True, n_components=self.n_components)
            if table.feature_names == layout.labels and (layout.holes or not table.has_holes):
                return table
            return dataclasses.replace(table, values=self._packed(table), feature_names=layout.labels, level_names=None)
        return Samples(self._packed(x), layout.labels)

    @property
    def _of_rows(self) -> bool:
        """Whether a matrix with all columns can be nothing but that."""
        columns = self.structure.layout.columns
        return len(columns) > 1 or columns[0].axis == 0

    def _packed(self, x: Any) -> np.ndarray:
        layout = self.structure.layout
        given = given_arguments(self.structure.model, x, self.structure.fixed)
        missing = [column.name for column in layout.columns if column.name not in given]
        if missing:
            raise DataError(f"the argument {missing[0]!r} of the program is missing: give it with the data")
        return layout.packed(given)

    def params(self, **values: Any) -> Values:
        """Checked parameters: a number or an array for each site, components first where it has an axis of them."""
        for name in values:
            if name not in self.parameters:
                raise ValueError(f"{name} is no parameter here; there are {', '.join(self.parameters)}")
        found: Values = {}
        for name, parameter in self.parameters.items():
            shape = parameter.shape(self.n_components, self.lengths(self.n_columns))
            value = as_floats(values.get(name), name) if values.get(name) is not None else np.empty(0)
            if value.shape != shape or not parameter.domain.holds(value):
                raise ValueError(f"{name} must be {parameter.domain.demands} and of shape {shape}")
            found[name] = value
        return found

    def frame(self, summary: Summary) -> Frame:
        """None: a program is written for the data's own units."""
        return identity_frame(summary.n_features)

    # -- the density

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        """The log density of the plate's sites with each value of the label."""
        return self.structure.matrix(self.structure.layout.unpacked(rows), self.sites_at(params))

    def log_prior(self, params: MixtureParams) -> Float[Array, ""]:
        """The log density of what stands outside the plate, without the weights' site."""
        return self.structure.prior(self.sites_at(params))

    def own_prior(self) -> ProgramPrior:
        """The program's prior."""
        return ProgramPrior.of(self)

    def own_program(self) -> Any:
        """The program with its label summed out."""
        from emjax.probabilistic.marginal import MarginalProgram

        return MarginalProgram(self)

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        """The program's prior as one law; see `own_prior`."""
        return {name: Outside() for name in list(self.parameters)[:1]}

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        """Draws of what is observed, for the covariates of rows of the data taken at random."""
        row_key, draw_key = jax.random.split(key)
        return self._observed(params, draw_key, self._rows_at_random(row_key, len(labels)), labels)

    def sample_jointly(self, params: MixtureParams, key: Array, n_samples: int) -> tuple[Array, Array]:
        """The same with a label of each row, which its covariates may have a say in."""
        row_key, label_key, draw_key = jax.random.split(key, 3)
        rows = self._rows_at_random(row_key, n_samples)
        data = self.structure.layout.unpacked(Observations(y=rows.T))
        logits = self.structure.label_matrix(data, self.sites_at(params))
        labels = jax.random.categorical(label_key, logits, axis=0)
        return self._observed(params, draw_key, rows, labels), labels

    def _rows_at_random(self, key: Array, n_rows: int) -> Float[Array, "n d"]:
        return jnp.asarray(self.packed)[jax.random.randint(key, (n_rows,), 0, len(self.packed))]

    def _observed(self, params: MixtureParams, key: Array, rows: Array, labels: Array) -> Float[Array, "n d"]:
        """Rows with what is observed drawn anew."""
        layout, found = self.structure.layout, self.structure
        data = layout.unpacked(Observations(y=rows.T))
        shape = [1] * found.n_dims
        shape[found.plate_dim] = len(labels)
        given = {**self.sites_at(params), found.latent: jnp.asarray(found.values)[labels].reshape(shape)}
        trace = drawn(found.model, ((), {**data, **found.fixed}), key, given)
        for site, argument in found.observed:
            entries = layout.as_entries(argument, trace[site]["value"]).astype(rows.dtype)
            rows = rows.at[:, layout.places(argument)].set(entries)
        return rows

    # -- the M-step

    def maximize(self, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws) -> Values:
        """A Newton step; nothing where the weights are all there is."""
        return ascend(self, statistics, params, laws) if self.parameters else {}

    def statistics(self, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]) -> Any:
        """Gradient and Hessian of the expected log density."""
        return derivatives(self, params, rows, responsibilities) if self.parameters else ()

    @property
    def exact(self) -> bool:
        """Whether the M-step is a maximiser: only where there is nothing to step."""
        return not self.parameters

    def degenerate(self, params: MixtureParams) -> Array:
        """Whether a positive parameter of a component has collapsed, beside that of another one."""
        found = jnp.zeros((), bool)
        for name, one in self.parameters.items():
            if one.domain.link == "log" and not one.shared:
                largest = jnp.max(params[name], axis=0, keepdims=True)
                found = found | jnp.any(params[name] < _COLLAPSED * largest)
        return found

    # -- starts

    @functools.cached_property
    def _pooled(self) -> Values:
        return pooled(self, self._some)

    def pooled(self, summary: Summary, n_components: int) -> Values:
        """Every component at what all data say."""
        return dict(self._pooled)

    def at_means(self, params: MixtureParams, means: Float[Any, "K d"]) -> Values:
        """The parameters for the labels of the rows nearest to each point, of what is observed; on the host."""
        x = np.where(np.isnan(self._some), 0.0, self._some)
        centre, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        mine, theirs = self.place((x - centre) / scale), self.place((np.asarray(means, float) - centre) / scale)
        labels = np.argmin(((mine[:, None] - theirs[None]) ** 2).sum(axis=-1), axis=1)
        return self.at_clusters(params, self._some, labels, means)

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        """The parameters for which labels ``(m,)`` of rows ``x (m, d)`` speak, by Newton steps."""
        return spoken_for(self, params, x, labels)

    def place(self, x: np.ndarray) -> np.ndarray:
        """The columns that are observed; covariates are no places."""
        layout = self.structure.layout
        columns = [np.arange(self.n_columns)[layout.places(argument)] for _, argument in self.structure.observed]
        return x[:, np.concatenate(columns)] if columns else x


def _mapped(family: ProgramFamily, name: str, leading: int) -> Any:
    """What is derived from parameters, of parameters that so many axes lead."""
    one = family._average_weights if name == WEIGHTS else functools.partial(family._output, name)
    for _ in range(leading):
        one = jax.vmap(one)
    return one


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def _derived(family: ProgramFamily, name: str, values: Values, leading: int) -> Array:
    return _mapped(family, name, leading)(values)
