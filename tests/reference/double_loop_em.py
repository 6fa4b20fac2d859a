"""EM as on paper: plain loops over data and components, densities and updates written out, NumPy only.

It knows nothing of emjax and is slow on purpose. `run` returns the parameters after ``n_iter`` iterations and their
log-likelihood. Parameters and priors are plain dictionaries:

* normal: ``weights (K,)``, ``mean (K, d)``, ``covariance (K, d, d)`` for every structure;
  prior ``concentration (K,)``, ``mean (d,)``, ``precision``, ``degrees``, ``scatter`` (a matrix, variances, a number);
* Poisson: ``weights (K,)``, ``rate (K, d)``; prior ``concentration (K,)``, ``shape``, ``inverse_scale (d,)``.

With a normal prior the updates are the joint mode of means and (co)variances. With the scatter about the updated mean
written as ``S_k + distance_k`` (within the component, and between its mean and the prior's), they are

=========  =====================================================================
full       ``(Psi + S_k + distance_k) / (N_k + nu + d + 2)``
tied       ``(Psi + sum_k (S_k + distance_k)) / (n + nu + d + 1 + K)``
diag       ``(psi_j + S_kj + distance_kj) / (N_k + nu + 3)``
spherical  ``(psi + sum_j (S_kj + distance_kj)) / (d N_k + nu + d + 2)``
=========  =====================================================================

and without one ``S_k / N_k``, ``sum_k S_k / n``, ``S_kj / N_k``, ``sum_j S_kj / (d N_k)``.
"""

import math

import numpy as np


def run(structure, x, params, prior, n_iter):
    """``n_iter`` iterations; ``structure`` is full, tied, diag, spherical or poisson."""
    for _ in range(n_iter):
        responsibilities, _ = expectation(structure, x, params)
        params = maximization(structure, x, responsibilities, prior)
    return params, expectation(structure, x, params)[1]


def expectation(structure, x, params):
    """Responsibilities ``(n, K)`` and the log-likelihood, one datum at a time."""
    k = len(params["weights"])
    densities = [_log_density(structure, params, c) for c in range(k)]
    responsibilities = np.zeros((len(x), k))
    log_likelihood = 0.0
    for n, datum in enumerate(x):
        joint = [math.log(params["weights"][c]) + densities[c](datum) for c in range(k)]
        top = max(joint)
        total = top + math.log(sum(math.exp(value - top) for value in joint))
        for c in range(k):
            responsibilities[n, c] = math.exp(joint[c] - total)
        log_likelihood += total
    return responsibilities, log_likelihood


def _log_density(structure, params, component):
    """The log density of one component as a function of one datum."""
    if structure == "poisson":
        rate = params["rate"][component]

        def poisson(datum):
            return sum(count * math.log(rate[j]) - rate[j] - math.lgamma(count + 1.0) for j, count in enumerate(datum))

        return poisson
    mean, covariance = params["mean"][component], params["covariance"][component]
    inverse = np.linalg.inv(covariance)
    constant = -0.5 * math.log(np.linalg.det(2.0 * math.pi * covariance))

    def normal(datum):
        difference = datum - mean
        return constant - 0.5 * float(difference @ inverse @ difference)

    return normal


def maximization(structure, x, responsibilities, prior):
    """The updates, one component at a time."""
    n, k = responsibilities.shape
    counts = [sum(responsibilities[:, c]) for c in range(k)]
    if prior is None:
        weights = np.array([count / n for count in counts])
    else:
        pseudo = [count + alpha - 1.0 for count, alpha in zip(counts, prior["concentration"], strict=True)]
        weights = np.array(pseudo) / sum(pseudo)
    if structure == "poisson":
        return {"weights": weights, "rate": _rates(x, responsibilities, counts, prior)}
    means, scatters = [], []
    for c in range(k):
        mean, scatter = _mean_and_scatter(x, responsibilities[:, c], counts[c], prior)
        means.append(mean)
        scatters.append(scatter)
    covariance = _covariances(structure, scatters, counts, prior)
    return {"weights": weights, "mean": np.array(means), "covariance": np.array(covariance)}


def _rates(x, responsibilities, counts, prior):
    rate = np.zeros((len(counts), x.shape[1]))
    for c, count in enumerate(counts):
        for j in range(x.shape[1]):
            events = sum(responsibilities[n, c] * x[n, j] for n in range(len(x)))
            if prior is None:
                rate[c, j] = events / count
            else:
                rate[c, j] = (events + prior["shape"] - 1.0) / (count + prior["inverse_scale"][j])
    return rate


def _mean_and_scatter(x, shares, count, prior):
    """One component's mean, and ``S_k + distance_k``."""
    average = sum(share * datum for share, datum in zip(shares, x, strict=True)) / count
    scatter = sum(share * np.outer(datum - average, datum - average) for share, datum in zip(shares, x, strict=True))
    if prior is None:
        return average, scatter
    precision, centre = prior["precision"], prior["mean"]
    mean = (precision * centre + count * average) / (precision + count)
    shrink = precision * count / (precision + count)
    return mean, scatter + shrink * np.outer(average - centre, average - centre)


def _covariances(structure, scatters, counts, prior):
    d, k, n = len(scatters[0]), len(counts), sum(counts)
    psi, nu = (0.0, None) if prior is None else (prior["scatter"], prior["degrees"])
    if structure == "tied":
        degrees = n if nu is None else n + nu + d + 1 + k
        return [(psi + sum(scatters)) / degrees] * k
    matrices = []
    for scatter, count in zip(scatters, counts, strict=True):
        if structure == "full":
            degrees = count if nu is None else count + nu + d + 2
            matrices.append((psi + scatter) / degrees)
        elif structure == "diag":
            degrees = count if nu is None else count + nu + 3
            matrices.append(np.diag((psi + np.diag(scatter)) / degrees))
        else:
            degrees = d * count if nu is None else d * count + nu + d + 2
            matrices.append((psi + np.trace(scatter)) / degrees * np.eye(d))
    return matrices
