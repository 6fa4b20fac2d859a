r"""The covariance structures of a normal mixture, as strategies with one interface.

Each structure stores its own ``dispersion`` array and knows its square root (``root``, with covariance = root root'):

==========  ==================  ======================================  ==================
structure   ``dispersion``      meaning                                 free parameters
==========  ==================  ======================================  ==================
full        ``(K, d, d)``       one covariance matrix per component     ``K d (d + 1) / 2``
tied        ``(d, d)``          one covariance matrix for all           ``d (d + 1) / 2``
diag        ``(K, d)``          variances per component and feature     ``K d``
spherical   ``(K,)``            one variance per component              ``K``
==========  ==================  ======================================  ==================

The ten others, ``EII`` to ``EVV``, have a ``dispersion`` as full or as diag has, made of parameters that components
share or have of their own (`emjax.families.decomposed`).

Sums over the data come in two forms. The *natural* one multiplies the products of features, which all components and
all starts share, and centres the sums afterwards: an iteration is two matrix products. The *whitened* one takes
:math:`y = \mathrm{root}^{-1} (x - \mu)` of every component first; a component that fits has scatter near the identity
there, so that no digit is lost, however narrow or far from the origin it is. EM uses the natural form as long as its
rounding is small enough (`CovarianceStructure.cancellation`).

The prior of a dispersion is inverse Wishart (full, tied) or inverse gamma (diag, spherical), written in one notation
with degrees of freedom :math:`\nu` and scatter :math:`\Psi`; for one variance it is
:math:`\sigma^2 \sim \mathrm{IG}(\nu / 2, \Psi / 2)`.
"""

from __future__ import annotations

from emjax.families import decomposed
from emjax.families.matrices import Full, Tied
from emjax.families.structure import CovarianceStructure
from emjax.families.variances import Diag, Spherical

STRUCTURES: dict[str, CovarianceStructure] = {
    **{s.name: s for s in (Full(), Tied(), Diag(), Spherical())},
    **decomposed.STRUCTURES,
}
"""The structures by the name that `Normal` and the command line take."""
