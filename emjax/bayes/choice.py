"""How ``method="auto"`` chooses a sampler, and what it does where the choice does not hold.

Hamiltonian Monte Carlo over the Laplace mixture comes first: of the methods with chains it gave the most effective
draws a second (`docs/benchmarks.md`), and its jumps are the only moves that go between modes. What the decision says
depends on the modes and on the Pareto k of the Laplace mixture, since they say what to expect: with one mode and k
up to its limit the metric is right from the start; otherwise metric and jumps have to be learned from draws, which
takes longer. With more than `MOST_PARAMETERS` parameters no information matrix is formed, and NumPyro's NUTS is chosen.
Of very many data (`MANY_ENTRIES`) one mode whose Laplace approximation is good is all there is to the posterior, and
chains would take an hour to say so: then weighted draws around the mode are taken, as independent as draws can be.
Whatever was chosen is checked by the diagnostics of its draws. Where they fail, Hamiltonian Monte Carlo first takes the
cure itself (`emjax.bayes.methods`): shorter steps where transitions diverged, longer runs, metric and jumps learned
anew. Then Gibbs sampling follows (which moves where gradients mislead), and then NUTS, unless jumps were tried and
chains still disagree: NUTS has the same trajectories and no jumps, and would take longest of all.
"""

from __future__ import annotations

from emjax.bayes.diagnostics import Diagnostics
from emjax.bayes.handoff import NEGLIGIBLE, Handoff
from emjax.bayes.modes import MOST_PARAMETERS
from emjax.bayes.run import Run
from emjax.catalogue import SAMPLERS

MANY_ENTRIES = 1 << 20
"""Log densities of a datum in a component, in one evaluation of the target, from which on chains are spared."""

POINTS_OF_MANY = 1000
"""Weighted draws that are then taken."""

_NEARLY_NORMAL = 0.5
"""The Pareto k up to which they are: weights then have a finite variance."""


def choose_method(handoff: Handoff, *, spare_chains: bool = False) -> tuple[str, str]:
    """The method, and one sentence that says why.

    ``spare_chains`` where the data are as many as `MANY_ENTRIES`, and nobody asked for chains of some length.
    """
    n_parameters = handoff.target.n_parameters
    if n_parameters > MOST_PARAMETERS:
        return "nuts", f"auto: nuts, because {n_parameters} parameters are too many for a metric from the modes."
    known = len(handoff.modes.modes)
    shape, n_modes = handoff.sample.pareto_k, int((handoff.masses[:known] >= NEGLIGIBLE).sum())
    found = "one mode" if n_modes == 1 else f"{n_modes} modes"
    share = float(handoff.masses[known:].sum())
    quality = f"(Pareto k {shape:.3f}, limit {handoff.sample.good_pareto_k:.2f})"
    if share >= NEGLIGIBLE:
        return "hmc", (
            f"auto: hmc with jumps, because components are empty in {share:.0%} of the posterior; EM found {found} "
            f"{quality}."
        )
    if handoff.sample.labelled:
        return "hmc", (
            f"auto: hmc with jumps over labellings, because EM found {found}, whose Laplace approximation is rough "
            f"where components hold few data {quality.replace('(', '(with labellings, ')}."
        )
    if spare_chains and handoff.simple and shape <= _NEARLY_NORMAL:
        return "laplace", (
            f"auto: laplace, because EM found {found} that the Laplace approximation describes {quality}, and chains "
            "over so many data would take long."
        )
    if handoff.sample.good and n_modes == 1:
        return "hmc", f"auto: hmc, because EM found {found} and the Laplace approximation is good {quality}."
    if handoff.sample.good:
        return "hmc", f"auto: hmc with jumps, because EM found {found} that the Laplace mixture describes {quality}."
    return "hmc", (
        f"auto: hmc that learns its metric{' and jumps' if n_modes > 1 else ''} from draws, because EM found {found} "
        f"but the Laplace approximation is rough {quality}."
    )


def hopeless(safer: str, run: Run, found: Diagnostics) -> str | None:
    """Why a method is left out: its trajectories are those of chains that jumped, and disagree all the same."""
    if not SAMPLERS[safer].target_accept_prob or "jumped" not in run.sample_stats:
        return None
    agree = found.max_rhat <= found.thresholds.max_rhat
    return None if agree else f"auto: {safer} is left out, because chains that jump did not agree, and it cannot jump."


def fell_short(method: str, found: Diagnostics, safer: str) -> str:
    """One sentence that says why a method's draws are not enough."""
    reason = found.reasons[0] if found.reasons else found.status.value
    return f"auto: the check of {method} failed ({reason}); {safer} follows."
