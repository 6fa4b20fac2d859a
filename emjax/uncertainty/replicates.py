"""What resampling leaves: EM's estimates from many replicates, aligned to the estimate, and how the others ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.mixture import Mixture, MixtureParams
from emjax.shown import Shown
from emjax.wording import count

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Replicates(Shown):
    """EM's estimates from replicates of the data: its sampling distribution.

    Attributes
    ----------
    n_replicates
        How many were fitted.
    failed, degenerate, spurious
        How many of them did not come to rest, lost a component or ended where the likelihood has no bound, or ended in
        an optimum that stands on few points. These are left out of everything else.
    ambiguous
        How many of those that are kept have two components less than half as far apart as the estimate's are: near the
        border between two numberings, so that what their "component 0" is hangs on a hair.
    params
        The kept ones in the data's units, components numbered as in the fit; arrays lead with ``n_kept``.
    values
        The numbers that intervals were asked of, ``(n_kept, n_rows)``.
    """

    n_replicates: int
    failed: int
    degenerate: int
    spurious: int
    ambiguous: int
    params: MixtureParams
    values: np.ndarray
    mixture: Mixture
    feature_names: tuple[str, ...]

    @property
    def n_kept(self) -> int:
        """How many ended in a regular optimum."""
        return self.n_replicates - self.failed - self.degenerate - self.spurious

    @property
    def words(self) -> str:
        """All that became of them, counted."""
        others = {
            "did not come to rest": self.failed,
            "lost a component": self.degenerate,
            "ended in a spurious optimum": self.spurious,
        }
        told = [f"{number:,} {what}" for what, number in others.items() if number]
        unclear = f"; labels of {self.ambiguous:,} are ambiguous" if self.ambiguous else ""
        return f"{count(self.n_replicates, 'replicate')}{''.join(f', {one}' for one in told)}{unclear}"

    def to_datatree(self) -> xr.DataTree:
        """The estimates as an ArviZ tree of one chain, in the group ``posterior``, where ArviZ's plots look for draws.

        Drawn beside a posterior it shows how far EM's sampling distribution is from that; it is no posterior.
        """
        from emjax.bayes.tree import to_tree

        family = self.mixture.family
        stored = {
            name: np.asarray(value)[None]
            for name, value in self.mixture.likelihood.stored_parameters(self.params).items()
        }
        return to_tree(
            stored,
            {},
            None,
            None,
            self.feature_names,
            {"what": "sampling distribution of EM's estimates, not a posterior"},
            levels=family.levels,
            own_axes=family.own_axes,
        )

    def _shown(self) -> Iterator[tuple[str, Any]]:
        names = "n_replicates", "n_kept", "failed", "degenerate", "spurious", "ambiguous"
        yield from ((name, getattr(self, name)) for name in names)
