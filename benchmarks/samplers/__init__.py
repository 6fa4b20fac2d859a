"""Packages that sample the posterior of a mixture of normals, one file each; ``benchmarks.posterior`` compares them."""

from benchmarks.samplers.base import Sampler
from benchmarks.samplers.emjax_sampler import Emjax
from benchmarks.samplers.numpyro_sampler import NumPyro, NumPyro32
from benchmarks.samplers.pymc_sampler import PyMC

SAMPLERS: dict[str, type[Sampler]] = {"emjax": Emjax, "numpyro": NumPyro, "numpyro32": NumPyro32, "pymc": PyMC}
"""Every package by its name on the command line."""
