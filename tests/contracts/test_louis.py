"""The observed information is what Louis (1982) says: the complete data's, less what missing labels take away."""

import jax
import numpy as np
from table import Row, walk

import emjax
from emjax.scope import computing
from emjax.uncertainty.information import derivatives, problem_of


# The derivatives are those of any density, so that one row stands for all.
@walk(by_name=lambda row: row.name != "poisson-1d")
def test_the_information_is_louis_formula(row: Row):
    x = row.data(3)
    fit = emjax.fit(row.mixture(), x, key=0, init=row.start(3, x), max_iter=30, tol=0.0)
    mixture = fit.mixture.likelihood
    with computing():
        params, data, prior, frame = problem_of(fit)
        found = np.asarray(derivatives(mixture, params, data, prior, frame)[0])
        coordinates = mixture.coordinates(mixture.family.n_features(params))
        flat = jax.jit(coordinates.flat)(params)
        rows = jax.tree.map(lambda leaf: leaf[0], data.rows)
        weights = np.asarray(data.weights[0])
        joint = lambda at: mixture.log_joint(coordinates.params(at), rows)  # noqa: E731

        @jax.jit
        def written_out(flat):
            shares = jax.lax.stop_gradient(jax.nn.softmax(joint(flat), axis=0))
            held = jax.hessian(lambda at: (weights[None] * shares * joint(at)).sum())(flat)
            return shares, -held, jax.jacfwd(joint)(flat)

        shares, complete, scores = map(np.asarray, written_out(flat))
    mean = np.einsum("kn,knp->np", shares, scores)
    missing = np.einsum("n,kn,knp,knq->pq", weights, shares, scores, scores) - (mean.T * weights) @ mean
    scale = np.sqrt(np.abs(np.diag(complete)))
    np.testing.assert_allclose(found / np.outer(scale, scale), (complete - missing) / np.outer(scale, scale), atol=1e-6)
    assert np.abs(missing / np.outer(scale, scale)).max() > 1e-4, "labels that nobody misses say nothing"
