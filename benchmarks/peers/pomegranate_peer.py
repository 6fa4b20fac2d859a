"""pomegranate: PyTorch, float32 (its default, and the one type its checks let through)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params


class Pomegranate(Peer):
    """float32, on as many threads as the process has cores."""

    name = "pomegranate"
    dtype = "float32"
    modules = ("pomegranate", "torch")

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        import os

        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        torch.set_num_threads(len(os.sched_getaffinity(0)))

        def single(values: np.ndarray) -> Any:
            return torch.tensor(values, dtype=torch.float32)

        def run() -> Params:
            components = [
                Normal(single(mean), single(covariance), covariance_type=self.covariance)
                for mean, covariance in zip(start.means, start.covariances, strict=True)
            ]
            model = GeneralMixtureModel(
                components, priors=single(start.weights), max_iter=n_iter, tol=-math.inf, check_data=False
            )
            model.fit(single(self.x))
            return Params(
                weights=model.priors.detach().numpy().astype(float),
                means=np.stack([part.means.detach().numpy() for part in model.distributions]).astype(float),
                covariances=np.stack([part.covs.detach().numpy() for part in model.distributions]).astype(float),
            )

        return timed(run)
