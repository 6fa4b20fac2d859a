"""The No-U-Turn sampler: NumPyro's kernel, driven so that little is compiled and every core is used.

The kernel is NumPyro's own (Hoffman & Gelman 2014; the multinomial variant of Betancourt 2017), with its
warm-up of step size and mass matrix. What is ours is the driving, chosen by measurement. K=2 normal
mixture, d=2, 272 points, 11 parameters, 4 chains x (1000 + 1000), float64, two cores; seconds:

============================================  =============================  ==================
way of running                                trace + lower + compile        warm-up and draws
============================================  =============================  ==================
``vmap`` over the chains, one device          1.0 + 0.14 + 2.3               0.93
``shard_map``, 2 devices x 2 chains           1.3 + 0.36 + 2.1               0.62
``shard_map``, 4 devices x 1 chain            0.6 + 0.16 + 1.7               0.60
one chain per program, a thread per core      0.1 + 0.14 + 1.7               0.60
============================================  =============================  ==================

So on CPU the unbatched program is run by threads (XLA releases the GIL), chunk by chunk, without a device
flag and without chains that wait for the longest trajectory; on an accelerator, where launches dominate,
the chains are vmapped. What else helped:

- NUTS is given ``potential_fn``, built from ``numpyro.infer.util.potential_energy``: the kernel's own
  ``initialize_model`` evaluates the program several times outside ``jit``, in dozens of small compilations.
- One flat vector as position: the trajectory's loop carries one array instead of one per site.
- The kernel is rebuilt inside each trace from a ready potential and gradient, so initialisation does not
  compile the potential again. Chunks have a traced length: warm-up, draws and remainders are one program.
- The programs are module-level ``jit`` functions of a static description: equal shapes compile once.

What did not help: XLA's ``backend_optimization_level`` 0 (0.3 s saved, sampling 3 x slower) and 1,
``llvm_disable_expensive_passes``, the other CPU scheduler, and fewer code-generation threads. The whole of
starts and sampling takes 5.2 s cold, 1.7 s from a warm persistent cache and 0.6 s again in the process;
NumPyro's own ``MCMC`` (vectorized) 13.2 s cold and 6.0 s again.
"""

import concurrent.futures
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emjax.bayes.flat_model import FlatModel, value_and_gradient
from emjax.bayes.progress import ChainProgress, OnProgress, check_settings
from emjax.bounds import whole
from emjax.errors import ConfigError
from emjax.threads import usable_cores

_CHUNK_CAPACITY = 100
_FIRST_CHUNK = 20
_CHUNK_SECONDS = 0.2

ChainMethod = Literal["auto", "parallel", "vectorized"]


@dataclass(frozen=True)
class NutsRun:
    """The draws of a run, as NumPy arrays that lead with (chain, draw).

    Attributes
    ----------
    samples
        Values of the latent sites in natural units, and of the deterministic sites.
    unconstrained
        Values of the latent sites in the unconstrained space.
    sample_stats
        By ArviZ's names: ``lp`` (log joint density in the unconstrained space, nats), ``energy``,
        ``diverging``, ``n_steps`` (gradient evaluations), ``tree_depth``, ``acceptance_rate``,
        ``step_size``, ``reached_max_treedepth``.
    inverse_mass_matrix
        The adapted one of each chain, ``(chain, d, d)``, or ``(chain, d)`` if diagonal; entries in the
        order of the sites' names.
    step_size
        The adapted one of each chain, ``(chain,)``.
    n_gradients
        Gradient evaluations of all chains, warm-up included.
    warmup_divergences
        Divergent transitions of each chain in the warm-up, ``(chain,)``. They do no harm to the draws.
    """

    samples: dict[str, np.ndarray]
    unconstrained: dict[str, np.ndarray]
    sample_stats: dict[str, np.ndarray]
    inverse_mass_matrix: np.ndarray
    step_size: np.ndarray
    n_gradients: int
    warmup_divergences: np.ndarray


@dataclass(frozen=True)
class _Settings:
    """The static part of the kernel."""

    step_size: float
    warmup: int
    target_accept_prob: float
    max_tree_depth: int
    dense_mass: bool
    n_lanes: int  # 0: the program moves one chain; otherwise that many chains under vmap


class _Record(NamedTuple):
    """What is kept of each iteration."""

    position: Any
    potential: Any
    energy: Any
    n_steps: Any
    accept_prob: Any
    diverging: Any
    step_size: Any


def nuts_runs(
    model: Callable[..., Any],
    model_args: tuple = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    key: jax.Array,
    starts: Mapping[str, Any],
    inverse_mass_matrix: np.ndarray | None = None,
    step_size: float = 0.5,
    warmup: int = 1000,
    draws: int = 1000,
    thinning: Sequence[int] = (1,),
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    dense_mass: bool = True,
    chain_method: ChainMethod = "auto",
    on_progress: OnProgress | None = None,
) -> Iterator[NutsRun]:
    """Sample a NumPyro program with NUTS from given starts; the chains go on as long as runs are asked for.

    The precision is the caller's: run it inside `emjax.scope.computing` for float64.

    Parameters
    ----------
    model, model_args, model_kwargs
        The program, without discrete latent sites, and its arguments. Arrays among the arguments are traced,
        never constants of the compiled program; everything else must be hashable.
    key
        Random key. Same key, same draws on the same machine, whatever the number of threads and the chunks.
    starts
        Unconstrained values of all latent sites with a leading chain axis (see `emjax.bayes.flat_model`).
    inverse_mass_matrix
        First inverse mass matrix, ``(d, d)``, entries in the order of the sites' names: an estimate of the
        posterior covariance. None means the identity. Adapted in the warm-up.
    step_size
        First step size, in units of the posterior's standard deviations if the mass matrix is a good one.
    warmup, draws
        Iterations per chain that are thrown away (adaptation) and kept.
    thinning
        For each run, every which iteration is kept: the chains move ``draws`` times as many.
    target_accept_prob
        Mean acceptance probability that the step size is adapted to, in (0, 1).
    max_tree_depth
        Trajectories have at most ``2**max_tree_depth - 1`` steps.
    dense_mass
        Whether a full matrix is adapted (True) or a diagonal.
    chain_method
        "parallel" (unbatched chains on a thread per core), "vectorized" (one batched program), or "auto":
        parallel on CPU, vectorized elsewhere.
    on_progress
        Called between chunks; see :class:`OnProgress`.

    Yields
    ------
    NutsRun
        One for each of ``thinning``.

    Raises
    ------
    ConfigError
        If a setting is out of its range, the starts have no common chain axis, or a chain starts where the
        log density or its gradient is not finite.

    References
    ----------
    Hoffman & Gelman (2014), JMLR 15; Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554.
    """
    n_chains = _check(starts, warmup, draws, target_accept_prob, max_tree_depth, chain_method)
    if chain_method == "auto":
        chain_method = "parallel" if jax.default_backend() == "cpu" else "vectorized"
    n_lanes = n_chains if chain_method == "vectorized" else 0
    settings = _Settings(float(step_size), warmup, target_accept_prob, max_tree_depth, dense_mass, n_lanes)
    first = {name: np.asarray(value)[0] for name, value in starts.items()}
    flat_model, arrays = FlatModel.build(model, model_args, model_kwargs, first)
    # On the device once: each chunk would send NumPy arrays again.
    arrays = jax.device_put(arrays)
    states = _initial_states(flat_model, settings, arrays, starts, key, inverse_mass_matrix)
    sampler = _Sampler(flat_model, settings, arrays, states, n_chains, on_progress)
    for thin in thinning:
        yield _collect(sampler, sampler.run(draws, thin))


def _check(
    starts: Mapping[str, Any],
    warmup: int,
    draws: int,
    target_accept_prob: float,
    max_tree_depth: int,
    chain_method: str,
) -> int:
    """Validate the settings; the number of chains."""
    check_settings(warmup, draws, target_accept_prob)
    whole("max_tree_depth", max_tree_depth)
    if chain_method not in ("auto", "parallel", "vectorized"):
        raise ConfigError(f"chain_method={chain_method!r} must be 'auto', 'parallel' or 'vectorized'")
    lengths = {name: np.shape(value)[:1] for name, value in starts.items()}
    if not lengths or len(set(lengths.values())) != 1 or set(lengths.values()) & {(), (0,)}:
        raise ConfigError(
            f"starts must hold every latent site with one leading chain axis of equal length; found {lengths}"
        )
    return next(iter(lengths.values()))[0]


# --- programs -----------------------------------------------------------------------------------------------


def _kernel(settings: _Settings, potential: Callable[..., Any], inverse_mass_matrix: Any = None) -> Any:
    from numpyro.infer import NUTS

    return NUTS(
        potential_fn=potential,
        step_size=settings.step_size,
        inverse_mass_matrix=inverse_mass_matrix,
        dense_mass=settings.dense_mass,
        target_accept_prob=settings.target_accept_prob,
        max_tree_depth=settings.max_tree_depth,
    )


def _no_potential(_: Any) -> Any:
    raise AssertionError("the first state is given its potential and gradient")


@partial(jax.jit, static_argnums=0)
def _initial_state(
    settings: _Settings,
    flat: Any,
    value: Any,
    gradient: Any,
    chain: Any,
    key: Any,
    inverse_mass_matrix: Any,
) -> Any:
    """The kernel's first state of one chain (or of all lanes); the potential is given, not compiled again."""
    from numpyro.infer.util import ParamInfo

    def one(flat: Any, value: Any, gradient: Any, chain: Any) -> Any:
        kernel = _kernel(settings, _no_potential, inverse_mass_matrix)
        chain_key = jax.random.fold_in(key, chain)
        return kernel.init(chain_key, settings.warmup, ParamInfo(flat, value, gradient))

    return (jax.vmap(one) if settings.n_lanes else one)(flat, value, gradient, chain)


@partial(jax.jit, static_argnums=(0, 1))
def _advance(
    flat_model: FlatModel, settings: _Settings, state: Any, n_iterations: Any, arrays: Sequence[Any]
) -> tuple[Any, _Record]:
    """Move the state by ``n_iterations`` (traced, at most the capacity) and record them in buffers."""
    from numpyro.infer.util import ParamInfo

    def one(state: Any) -> tuple[Any, _Record]:
        kernel = _kernel(settings, lambda flat: flat_model.potential(flat, arrays))
        # The kernel keeps its adaptation schedule and integrator in attributes that `init` sets: this call
        # sets them for this trace. Its state is dropped, and with the gradient given it costs nothing.
        kernel.init(state.rng_key, settings.warmup, ParamInfo(state.z, state.potential_energy, state.z_grad))
        buffers = jax.tree.map(
            lambda leaf: jnp.zeros((_CHUNK_CAPACITY, *jnp.shape(leaf)), jnp.result_type(leaf)), _record(state)
        )

        def body(i: Any, carry: tuple[Any, _Record]) -> tuple[Any, _Record]:
            state, buffers = carry
            state = kernel.sample(state, (), {})
            buffers = jax.tree.map(lambda buffer, leaf: buffer.at[i].set(leaf), buffers, _record(state))
            return state, buffers

        return jax.lax.fori_loop(0, n_iterations, body, (state, buffers))

    return (jax.vmap(one) if settings.n_lanes else one)(state)


def _record(state: Any) -> _Record:
    return _Record(
        position=state.z,
        potential=state.potential_energy,
        energy=state.energy,
        n_steps=state.num_steps,
        accept_prob=state.accept_prob,
        diverging=state.diverging,
        step_size=state.adapt_state.step_size,
    )


@partial(jax.jit, static_argnums=0)
def _constrain_all(flat_model: FlatModel, flat: Any, arrays: Sequence[Any]) -> dict[str, jax.Array]:
    """Sites in natural units for flat vectors ``(n, n_parameters)``."""
    return jax.vmap(lambda z: flat_model.constrain(z, arrays))(flat)


# --- driving ------------------------------------------------------------------------------------------------


def _initial_states(
    flat_model: FlatModel,
    settings: _Settings,
    arrays: Sequence[Any],
    starts: Mapping[str, Any],
    key: jax.Array,
    inverse_mass_matrix: np.ndarray | None,
) -> list[Any]:
    """One state per unit of work: per chain, or a single one for all lanes."""
    dtype = jnp.result_type(float)
    flat = flat_model.ravel(starts).astype(dtype)
    found = [value_and_gradient(flat_model, row, arrays) for row in flat]
    values = np.stack([np.asarray(value) for value, _ in found])
    gradients = np.stack([np.asarray(gradient) for _, gradient in found])
    for chain in range(len(flat)):
        if not (np.isfinite(values[chain]) and np.all(np.isfinite(gradients[chain]))):
            raise ConfigError(
                f"chain {chain} starts where the log density or its gradient is not finite; "
                "choose starts inside the supports"
            )
    matrix = np.eye(flat.shape[1]) if inverse_mass_matrix is None else np.asarray(inverse_mass_matrix)
    matrix = matrix.astype(dtype)
    chains = np.arange(len(flat), dtype=np.int32)
    initial = partial(_initial_state, settings)
    if settings.n_lanes:
        return [initial(flat, values, gradients, chains, key, matrix)]
    return [initial(flat[c], values[c], gradients[c], chains[c], key, matrix) for c in chains]


class _Sampler:
    """Moves all units (chains, or the one batch of lanes) chunk by chunk until each has its iterations."""

    def __init__(
        self,
        flat_model: FlatModel,
        settings: _Settings,
        arrays: Sequence[Any],
        states: list[Any],
        n_chains: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.flat_model, self.settings, self.arrays, self.states = flat_model, settings, arrays, states
        self.warmup, self.begin, self.draws, self.thin = settings.warmup, settings.warmup, 0, 1
        self.chains_of = [range(n_chains)] if settings.n_lanes else [range(c, c + 1) for c in range(n_chains)]
        self.done = [0] * len(states)
        self.chunk = [_FIRST_CHUNK] * len(states)
        self.kept: list[list[_Record]] = [[] for _ in states]
        self.on_progress = on_progress
        self.divergences = np.zeros(n_chains, int)
        self.warmup_divergences = np.zeros(n_chains, int)
        self.step_size = np.full(n_chains, np.nan)
        self.n_gradients = 0
        # Compiled before threads start: two threads that meet an uncompiled program would both compile it.
        self.program = _advance.lower(flat_model, settings, states[0], np.int32(0), arrays).compile()

    def run(self, draws: int, thin: int = 1) -> _Record:
        """The next ``draws`` iterations to keep, one in ``thin``, of all chains; leaves ``(chain, draw, ...)``."""
        self.begin += self.draws
        self.draws, self.thin = draws * thin, thin
        self.kept = [[] for _ in self.states]
        n_threads = min(len(self.states), usable_cores())
        with concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix="emjax-nuts") as pool:
            lengths = [(unit, self._next_length(unit)) for unit in range(len(self.states))]
            pending = {pool.submit(self._step, unit, n): (unit, n) for unit, n in lengths}
            try:
                while pending:
                    finished, _ = concurrent.futures.wait(pending, return_when="FIRST_COMPLETED")
                    for future in finished:
                        unit, n = pending.pop(future)
                        is_warmup = self._take(unit, n, *future.result())
                        if (rest := self._next_length(unit)) > 0:
                            pending[pool.submit(self._step, unit, rest)] = (unit, rest)
                        self._report(unit, is_warmup, self.done[unit])
            finally:
                # After Ctrl-C or an error in the callback nothing new is started; chunks under way end.
                pool.shutdown(wait=False, cancel_futures=True)
        per_unit = [_concatenate(records, axis=1) for records in self.kept]
        return _concatenate(per_unit, axis=0)

    def _next_length(self, unit: int) -> int:
        """Iterations of the next chunk, which is warm-up or draws and never both."""
        end = self.warmup if self.done[unit] < self.warmup else self.begin + self.draws
        return min(self.chunk[unit], end - self.done[unit])

    def _step(self, unit: int, n_iterations: int) -> tuple[_Record, float]:
        """Runs in a thread: move one unit by a chunk; its record leads with (chain, iteration)."""
        begin = time.perf_counter()
        self.states[unit], record = self.program(self.states[unit], np.int32(n_iterations), self.arrays)
        has_lanes = np.ndim(record.potential) == 2
        host = [np.asarray(leaf) if has_lanes else np.asarray(leaf)[None] for leaf in record]
        return _Record(*(leaf[:, :n_iterations] for leaf in host)), time.perf_counter() - begin

    def _take(self, unit: int, n: int, record: _Record, seconds: float) -> bool:
        """Book a finished chunk; whether it was one of the warm-up."""
        is_warmup = self.done[unit] < self.warmup
        self.done[unit] += n
        self.chunk[unit] = int(np.clip(n * _CHUNK_SECONDS / max(seconds, 1e-9), 1, _CHUNK_CAPACITY))
        chains = list(self.chains_of[unit])
        (self.warmup_divergences if is_warmup else self.divergences)[chains] += record.diverging.sum(axis=1)
        self.step_size[chains] = record.step_size[:, -1]
        self.n_gradients += int(record.n_steps.sum())
        if not is_warmup:
            number = np.arange(self.done[unit] - n, self.done[unit]) - self.begin
            chosen = (number + 1) % self.thin == 0
            self.kept[unit].append(_Record(*(leaf[:, chosen] for leaf in record)))
        return is_warmup

    def _report(self, unit: int, is_warmup: bool, done: int) -> None:
        if self.on_progress is None:
            return
        step_size = tuple(self.step_size.tolist())
        for chain in self.chains_of[unit]:
            if is_warmup:
                info = ChainProgress(chain, tuple(self.warmup_divergences.tolist()), step_size)
                self.on_progress("warmup", done, self.warmup, info)
            else:
                info = ChainProgress(chain, tuple(self.divergences.tolist()), step_size)
                self.on_progress("draws", done - self.begin, self.draws, info)


def _concatenate(records: list[_Record], axis: int) -> _Record:
    return _Record(*(np.concatenate(parts, axis=axis) for parts in zip(*records, strict=True)))


def _collect(sampler: _Sampler, record: _Record) -> NutsRun:
    flat_model, settings = sampler.flat_model, sampler.settings
    n_chains, n_draws, n_parameters = record.position.shape
    flat = record.position.reshape(n_chains * n_draws, n_parameters)
    constrained = jax.device_get(_constrain_all(flat_model, flat, sampler.arrays))
    samples = {name: v.reshape(n_chains, n_draws, *v.shape[1:]) for name, v in constrained.items()}
    # A full tree of depth j holds 2**j - 1 proposals, one that was cut short fewer.
    tree_depth = np.floor(np.log2(np.maximum(record.n_steps, 1))).astype(np.int64) + 1
    matrices = [np.asarray(state.adapt_state.inverse_mass_matrix) for state in sampler.states]
    return NutsRun(
        samples=samples,
        unconstrained=flat_model.unravel(record.position),
        sample_stats={
            "lp": -record.potential,
            "energy": record.energy,
            "diverging": record.diverging,
            "n_steps": record.n_steps,
            "tree_depth": tree_depth,
            "acceptance_rate": record.accept_prob,
            "step_size": record.step_size,
            "reached_max_treedepth": tree_depth >= settings.max_tree_depth,
        },
        inverse_mass_matrix=matrices[0] if settings.n_lanes else np.stack(matrices),
        step_size=sampler.step_size,
        n_gradients=sampler.n_gradients,
        warmup_divergences=sampler.warmup_divergences,
    )
