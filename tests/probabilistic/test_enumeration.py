"""The programs of `models/` as emjax takes them: NumPyro's own enumeration gives the same density."""

import jax
import numpy as np
import pytest
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer import init_to_uniform
from shipped_programs import DATA, PER_DATUM, PROGRAMS, REFUSED

import emjax
from emjax.mixture import declared
from emjax.scope import computing

pytestmark = pytest.mark.runs_numpyro

BY_DEFAULT = {"capture_recapture_mb"}
"""One with a probability as weights and a factor that cannot be; all others run by name."""

RECOGNISED = {
    "hierarchical_scales": "normal",
    "latent_class": "bernoulli",
    "normal_mixture": "normal",
    "poisson_mixture": "poisson",
    "rater_agreement": "categorical",
}
"""The family that components of a program are recognised as; those of the others are of none."""

EACH = [pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.slow) for name in PER_DATUM]


def points(name: str, number: int) -> list[dict[str, np.ndarray]]:
    """Values of the latent sites outside the plate, drawn evenly in the unconstrained space."""
    found = []
    for seed in range(number):
        known = handlers.substitute(
            handlers.seed(PROGRAMS[name]["model"], seed), substitute_fn=init_to_uniform(radius=1)
        )
        sites = handlers.trace(known).get_trace(**DATA[name])
        found.append(
            {
                site: np.asarray(message["value"])
                for site, message in sites.items()
                if message["type"] == "sample" and not message["is_observed"] and site != "z"
            }
        )
    return found


@pytest.mark.parametrize("name", EACH)
def test_the_density_is_that_of_numpyro_s_enumeration(name: str):
    mixture = declared(emjax.program(PROGRAMS[name]["model"]), DATA[name])
    like = mixture.family.structure.likeness
    assert (None if like is None else like.base.name) == RECOGNISED.get(name)
    samples = mixture.samples(DATA[name])
    with computing():
        prior = mixture.resolved_prior(samples)
        program = enum(config_enumerate(PROGRAMS[name]["model"]), first_available_dim=-2)
        expected = jax.jit(lambda params: log_density(program, (), DATA[name], params)[0])
        ours = jax.jit(lambda params: mixture.log_prob(params, samples.values).sum() + mixture.log_prior(params, prior))
        for point in points(name, 3):
            found = float(ours(mixture.family.at_values(point)))
            assert abs(found - float(expected(point))) <= 1e-8 * max(1.0, abs(found))


def test_one_latent_over_all_data_is_refused():
    with pytest.raises(emjax.ConfigError, match="'z' is one latent over all data"):
        emjax.fit(emjax.program(PROGRAMS[REFUSED]["model"]), DATA[REFUSED], key=0)
