"""What is measured when two estimates of one mixture are compared.

`partition` and `predictive` hold label-invariant quantities, which are read first; `parameter` compares
named, aligned parameters; `cost` says what the estimates took. Everything is NumPy in float64 on plain
arrays.
"""

from emjax.metrics.cost import Cost
from emjax.metrics.parameter import difference_in_sd, equal_tailed, mass_inside, width_ratio
from emjax.metrics.partition import (
    PairDifference,
    adjusted_rand,
    assignment_entropy,
    co_clustering,
    co_clustering_difference,
    hard_labels,
    mean_co_clustering,
    subset_rows,
)
from emjax.metrics.predictive import (
    Estimate,
    log_mean_exp,
    log_score,
    total_variation,
    total_variation_counts,
    total_variation_grid,
)

__all__ = [
    "Cost",
    "Estimate",
    "PairDifference",
    "adjusted_rand",
    "assignment_entropy",
    "co_clustering",
    "co_clustering_difference",
    "difference_in_sd",
    "equal_tailed",
    "hard_labels",
    "log_mean_exp",
    "log_score",
    "mass_inside",
    "mean_co_clustering",
    "subset_rows",
    "total_variation",
    "total_variation_counts",
    "total_variation_grid",
    "width_ratio",
]
