"""What is measured when two estimates of one mixture are compared.

`partition`, `clustering` (one partition from many) and `predictive` hold label-invariant quantities, which are read
first; `parameter` compares named, aligned parameters; `density` and `calibration` measure estimates against a known
truth; `cost` says what the estimates took. Everything is NumPy in float64 on plain arrays.
"""

from emjax.metrics.calibration import brier_score, calibration_error, interval_score
from emjax.metrics.clustering import PartitionEstimate, partition_estimate, variation_of_information
from emjax.metrics.cost import Cost
from emjax.metrics.density import distances_from_draws, distances_on_counts, distances_on_line
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
    "PartitionEstimate",
    "adjusted_rand",
    "assignment_entropy",
    "brier_score",
    "calibration_error",
    "co_clustering",
    "co_clustering_difference",
    "difference_in_sd",
    "distances_from_draws",
    "distances_on_counts",
    "distances_on_line",
    "equal_tailed",
    "hard_labels",
    "interval_score",
    "log_mean_exp",
    "log_score",
    "mass_inside",
    "mean_co_clustering",
    "partition_estimate",
    "subset_rows",
    "total_variation",
    "total_variation_counts",
    "total_variation_grid",
    "variation_of_information",
    "width_ratio",
]
