"""What the two sides of a comparison say of themselves, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emjax.bayes.posterior import Posterior
    from emjax.result import Fit
    from emjax.uncertainty.results import Intervals


def diagnostics_of(fit: Fit, posterior: Posterior, em: Intervals) -> dict[str, Any]:
    """What EM, the MAP, the posterior and the alignment say of themselves, as ``comparison.json`` holds it."""
    found = posterior.diagnostics
    return {
        "em": {
            "status": fit.status.value,
            "message": fit.message,
            "prior": "none" if fit.mixture.prior is None else "default",
            "n_iter": fit.n_iter,
            "log_likelihood": fit.log_likelihood,
            "rate": fit.rate,
            "space": fit.space,
            "optima": [
                {
                    "log_likelihood": optimum.log_likelihood,
                    "objective": optimum.objective,
                    "count": optimum.count,
                    "status": optimum.status.value,
                    "spurious": optimum.spurious,
                }
                for optimum in fit.optima
            ],
            "intervals": {
                "method": em.method,
                "status": em.status.value,
                "message": em.message,
                "space": em.space,
            },
        },
        "map": {
            "status": posterior.map_fit.status.value,
            "log_likelihood": posterior.map_fit.log_likelihood,
            "log_prior": posterior.map_fit.log_prior,
            "space": posterior.map_fit.space,
        },
        "posterior": {
            "status": posterior.status.value,
            "status_message": posterior.status.message,
            "message": posterior.message,
            "method": posterior.method,
            "prior": posterior.prior_note,
            "starts": posterior.starts_note,
            "n_chains": found.n_chains,
            "n_draws": found.n_draws,
            "max_rhat": found.max_rhat,
            "max_rhat_name": found.max_rhat_name,
            "min_ess_bulk": found.min_ess_bulk,
            "min_ess_bulk_name": found.min_ess_bulk_name,
            "min_ess_tail": found.min_ess_tail,
            "min_ess_tail_name": found.min_ess_tail_name,
            "min_ess_sd": found.min_ess_sd,
            "min_ess_sd_name": found.min_ess_sd_name,
            "n_divergent": found.n_divergent,
            "bfmi": list(found.bfmi),
            **mode_findings(posterior),
        },
        "alignment": {
            "method": posterior.alignment.method,
            "trust": posterior.alignment.trust,
            "agreement": posterior.alignment.agreement,
            "note": posterior.alignment.note,
        },
    }


def mode_findings(posterior: Posterior) -> dict[str, Any]:
    """What the modes of a posterior say, under the keys that ``comparison.json`` and ``posterior.json`` share.

    ``decision`` (sentences), ``n_modes``, ``pareto_k`` and its limit ``good_pareto_k``, ``log_evidence`` (nats), and
    ``modes``: for each, the largest first, ``log_density``, ``laplace_mass``, ``mass``, ``visited`` (share of the
    draws), ``n_starts`` of EM, and ``n_empty``, the number of empty components where it is no mode but the region
    where these are empty.
    """
    modes = posterior.modes
    return {
        "decision": list(posterior.decision),
        "n_modes": modes.n_modes,
        "pareto_k": modes.pareto_k,
        "good_pareto_k": modes.good_pareto_k,
        "log_evidence": modes.log_evidence,
        "modes": [
            {
                "log_density": mode.log_density,
                "laplace_mass": mode.laplace_mass,
                "mass": mode.mass,
                "visited": mode.visited,
                "n_starts": mode.n_starts,
                "n_empty": mode.n_empty,
            }
            for mode in modes.modes
        ],
    }
