r"""Alignment of component labels: the only room of emjax that reorders components.

A mixture's density does not change when its components are renumbered, so draws of a posterior (and optima of
EM) carry arbitrary labels. Every function here answers with *permutations*: ``permutations[s, k]`` is the
component of draw ``s`` that takes the place of component ``k`` of the reference, hence ``aligned[s, k] =
values[s, permutations[s, k]]`` (`apply` does that for any array).

All methods minimise a sum of costs, ``sum_k cost[s, k, permutations[s, k]]``, and share
`permutations_from_cost`. `align` is what `emjax.sample` uses: two of them, `classification` and `pivot`, the
permutations of one, and how far the labels can be trusted. `relabel` runs any of the methods in `RELABELLINGS`,
and `compare_methods` several of them side by side.

| file | what it holds |
|---|---|
| ``assignment.py`` | the best permutations for given costs, and their application |
| ``direct.py`` | methods that treat each draw by itself: pivot, PRA, classification, ordering |
| ``iterative.py`` | methods that estimate their reference: Stephens, both iterative forms of ECR, data-based |
| ``trust.py`` | margins, separation, `Alignment` |
| ``methods.py`` | `LabelledDraws`, `relabel`, `compare_methods` |
"""

from emjax.align.assignment import MAX_ENUMERATED, apply, permutations_from_cost
from emjax.align.direct import classification, match, ordering, overlaps, pivot, pivot_cost, pra, pra_cost
from emjax.align.methods import RELABELLINGS, LabelledDraws, Relabelling, compare_methods, relabel, share_agreed
from emjax.align.trust import METHODS, TRUST_HIGH, TRUST_LOW, Alignment, align, margins, separation

__all__ = [
    "MAX_ENUMERATED",
    "METHODS",
    "RELABELLINGS",
    "TRUST_HIGH",
    "TRUST_LOW",
    "Alignment",
    "LabelledDraws",
    "Relabelling",
    "align",
    "apply",
    "classification",
    "compare_methods",
    "margins",
    "match",
    "ordering",
    "overlaps",
    "permutations_from_cost",
    "pivot",
    "pivot_cost",
    "pra",
    "pra_cost",
    "relabel",
    "separation",
    "share_agreed",
]
