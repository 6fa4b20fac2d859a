"""What the CPU can tell of a fit on an accelerator: how exactly products are computed, and how much memory it takes."""

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.em import accelerate, blocks
from emjax.em.blocks import Blocks
from emjax.em.fit import Settings
from emjax.em.init import drawn_starts
from emjax.em.problem import prepare
from emjax.em.state import Program
from emjax.families.observations import Observations
from emjax.samples import as_samples

FAMILIES = [*(emjax.Normal(covariance=each) for each in ("full", "tied", "diag", "spherical")), emjax.Poisson()]
SETTINGS = Settings(2, 100, 1e-6, "parameters", 0.0, "anderson", "mixed", "float32", 0)


def small_program(mixture: emjax.Mixture, *, exact: bool = False) -> tuple[Program, Any]:
    """A fit of a few counts in float32, as far as its iterations: what they need, and two starts."""
    x = np.random.default_rng(0).poisson(20.0, (40, 3)).astype(float)
    problem = prepare(mixture, as_samples(x), "float32", drawn=True, n_starts=2)
    data = problem.exact_blocks() if exact else problem.blocks
    options = SETTINGS.options(problem.frame)
    starts = drawn_starts(problem.likelihood, problem.z, key=jax.random.key(0), n_init=2, starts="mixed")
    return Program(problem.likelihood, data, problem.frame_prior, options, "anderson"), starts


def lowered(program: Program, walk: Any) -> jax.stages.Lowered:
    bound = np.asarray(10, np.int32)
    return accelerate._trips.lower(
        program.mixture, program.method, walk, program.data, program.prior, bound, bound, program.options
    )


def products(text: str) -> list[str]:
    return re.findall(r"stablehlo\.dot_general.*", text)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("prior", [pytest.param(None, marks=pytest.mark.slow), "default"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: getattr(family, "covariance", family.name))
def test_every_product_of_an_iteration_is_exact(family: Any, prior: str | None, exact: bool):
    # Accelerators multiply float32 in fewer bits (TF32, bfloat16) unless they are told not to.
    program, starts = small_program(emjax.Mixture(family, 2, prior=prior), exact=exact)
    found = products(lowered(program, accelerate.Accelerated(program).fresh(starts)).as_text())
    assert found
    assert [each for each in found if "precision = [HIGHEST, HIGHEST]" not in each] == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: getattr(family, "covariance", family.name))
def test_every_product_of_a_density_is_exact(family: Any):
    program, starts = small_program(emjax.Mixture(family, 2))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), starts)
    x = jnp.ones((5, 3), jnp.float32)
    for function in (program.mixture.log_prob, program.mixture.responsibilities):
        found = products(jax.jit(function).lower(params, x).as_text())
        assert [each for each in found if "precision = [HIGHEST, HIGHEST]" not in each] == []


# The block of an accelerator; the others by name.
@pytest.mark.parametrize(
    ("dtype", "block"),
    [
        ("float32", 1 << 20),
        pytest.param("float64", 1 << 12, marks=pytest.mark.slow),
        pytest.param("float32", 1 << 12, marks=pytest.mark.slow),
        pytest.param("float64", 1 << 20, marks=pytest.mark.slow),
    ],
)
def test_a_hundred_million_rows_take_little_more_than_themselves(dtype: str, block: int):
    n_rows, n_features, n_components = 100_000_000, 16, 64
    with jax.enable_x64(dtype == "float64"):
        mixture = emjax.Mixture(emjax.Normal(), n_components)
        settings = dataclasses.replace(SETTINGS, dtype=dtype)
        x = np.random.default_rng(0).normal(size=(300, n_features))
        problem = prepare(mixture, as_samples(x), dtype, drawn=True, n_starts=1)
        starts = drawn_starts(problem.likelihood, problem.z, key=jax.random.key(0), n_init=1, starts="random")
        n_blocks = -(-n_rows // block)
        rows = jax.ShapeDtypeStruct((n_blocks, n_features, block), dtype)
        weights = jax.ShapeDtypeStruct((n_blocks, block), dtype)
        data = Blocks(
            rows=Observations(y=rows), weights=weights, total_weight=jax.ShapeDtypeStruct((), dtype), natural=True
        )
        program = Program(problem.likelihood, data, None, settings.options(problem.frame), "anderson")
        walk = accelerate.Accelerated(program).fresh(starts)
        needed = lowered(program, walk).compile().memory_analysis()
    total = needed.argument_size_in_bytes + needed.output_size_in_bytes + needed.temp_size_in_bytes
    data_bytes = n_blocks * n_features * block * np.dtype(dtype).itemsize
    # One float64 responsibility of every row and component would be four times the data.
    assert total < 1.5 * data_bytes


@pytest.mark.parametrize(("n_starts", "rows"), [(1, 1 << 18), (20, 1 << 15), (1000, 1 << 13)])
def test_a_block_takes_a_share_of_the_memory_and_keeps_the_device_busy(monkeypatch, n_starts: int, rows: int):
    device = SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 80_000_000_000})
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    mixture = emjax.Mixture(emjax.Normal(), 64)
    # Of one row: 153 statistics, and two numbers of every component of every start.
    assert blocks.block_size(mixture, 16, 8, n_starts) == rows
    assert rows * 8 * (153 + 128 * n_starts) < 80e9 / 8
    # A device that does not tell its memory is taken for a small one.
    device.memory_stats = lambda: None
    assert blocks.block_size(mixture, 16, 8) == 1 << 14
