"""The tests check shapes: the import hook is on, it covers every module with shapes, and ranks are not promoted."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from table import ROWS, Row, walk

from emjax.families.linalg import cholesky
from emjax.families.observations import observed

PACKAGE = Path(__file__).resolve().parents[2] / "emjax"


def test_every_module_with_shapes_is_hooked(pytestconfig: pytest.Config):
    hooked = next(p.HOOKED for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "HOOKED"))
    with_shapes = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^from jaxtyping import", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    missed = {m for m in with_shapes if not any(m == name or m.startswith(f"{name}.") for name in hooked)}
    assert "emjax.mixture" in with_shapes
    assert missed == set()


@pytest.mark.usefixtures("x64")
@walk((ROWS[1], ROWS[-1]))
def test_wrong_shapes_are_refused(row: Row):
    mixture, params, x = row.mixture(), row.params(0), row.data(0)
    for wrong in (x[:, 0], x[None], x[:, :1]):
        with pytest.raises(ValueError, match=r"expected \(n_samples, 2\)"):
            mixture.log_prob(params, wrong)
        with pytest.raises(ValueError, match=r"expected \(n_samples, 2\)"):
            jax.jit(mixture.log_prob)(params, wrong)
    with pytest.raises(TypeCheckError, match="statistics"):
        row.family.statistics(params, observed(x), jnp.ones(len(x)))
    with pytest.raises(TypeCheckError, match="cholesky"):  # two sizes that should be one: d
        cholesky(jnp.ones((2, 3)))
    # The same calls with the right shapes pass.
    assert mixture.log_prob(params, x).shape == (row.n_samples,)
    row.family.statistics(params, observed(x), jnp.ones((row.n_components, len(x))))


def test_ranks_are_not_promoted():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((3, 2)) + jnp.ones(2)


@pytest.mark.runs_numpyro
def test_ranks_are_promoted_where_numpyro_needs_it():
    np.testing.assert_array_equal(jnp.ones((3, 2)) + jnp.ones(2), np.full((3, 2), 2.0))
