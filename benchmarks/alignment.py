"""``python -m benchmarks.alignment``: milliseconds of each relabelling method for 4,000 draws of three components.

The posterior is simulated: draws around a mixture of normals, their components shuffled at random, with the
responsibilities of 272 and of 82 data in float64. Of the three cases one is separated, in one two components share
their mean, and in one nothing is identified. Times are CPU times, to be taken on one core: each is the median of seven
calls of `emjax.align.relabel` on draws that no method has seen before, so that the preparation of the responsibilities
is counted with each method. Beside it stand how often a method estimated its reference, and on how many draws it chose
the permutation that was simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from time import process_time

import numpy as np

from emjax import align

BEGIN, END = "<!-- alignment: begin -->", "<!-- alignment: end -->"
_N_DRAWS = 4_000
_REPEATS = 7


@dataclasses.dataclass(frozen=True)
class Case:
    """A mixture of normals in one feature, and the standard deviation of its means' and of its log scales' draws."""

    name: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    spread: float
    scale_spread: float


CASES = (
    Case("separated", (-6.0, 0.0, 6.0), (1.0, 1.0, 1.0), 0.2, 0.1),
    Case("one mean for two", (0.0, 0.0, 1.5), (0.7, 1.5, 1.0), 0.4, 0.3),
    Case("not identified", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.5, 0.2),
)


def posterior(case: Case, n_samples: int) -> tuple[align.LabelledDraws, np.ndarray]:
    """Shuffled draws of a case, and the permutations that undo the shuffle."""
    rng = np.random.default_rng(4)
    mean, scale = np.array(case.mean), np.array(case.scale)
    n_components = len(mean)
    label = rng.integers(n_components, size=n_samples)
    x = rng.normal(mean[label], scale[label])
    columns = (
        rng.dirichlet(np.full(n_components, 30.0), size=_N_DRAWS),
        mean + case.spread * rng.normal(size=(_N_DRAWS, n_components)),
        scale * np.exp(case.scale_spread * rng.normal(size=(_N_DRAWS, n_components))),
    )
    shuffle = rng.permuted(np.tile(np.arange(n_components), (_N_DRAWS, 1)), axis=1)
    parameters = align.apply(shuffle, np.stack(columns, axis=2), axis=1)
    reference = np.stack([np.full(n_components, 1 / n_components), mean, scale], axis=1)
    if len(np.unique(reference, axis=0)) < n_components:
        reference = align.apply(np.argsort(shuffle[:1], axis=1), parameters[:1], axis=1)[0]
    draws = align.LabelledDraws(
        parameters=parameters,
        reference_parameters=reference,
        responsibilities=_responsibilities(x, parameters),
        reference_responsibilities=_responsibilities(x, reference),
        data=x,
    )
    return draws, np.argsort(shuffle, axis=1)


def _responsibilities(x: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    weights, mean, scale = (parameters[..., column, None] for column in range(3))
    joint = weights / scale * np.exp(-0.5 * ((x - mean) / scale) ** 2)
    return joint / joint.sum(axis=-2, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one case."""

    case: Case
    n_samples: int
    milliseconds: float
    share: float
    found: align.Relabelling


def measure(case: Case, n_samples: int, method: str) -> Row:
    """The median of several calls, each on an object of its own, which has nothing prepared."""
    draws, truth = posterior(case, n_samples)
    seconds = []
    for _ in range(_REPEATS):
        fresh = dataclasses.replace(draws)
        start = process_time()
        found = align.relabel(fresh, method)
        seconds.append(process_time() - start)
    share = align.share_agreed(found.permutations, truth)
    return Row(case, n_samples, 1e3 * statistics.median(seconds), share, found)


def table(rows: list[Row]) -> str:
    """Markdown: a line for each method, a column for each case."""
    columns = list(dict.fromkeys((row.case.name, row.n_samples) for row in rows))
    lines = [
        "| ms (estimates of the reference; share as simulated) | "
        + " | ".join(f"{c}, n={n}" for c, n in columns)
        + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in dict.fromkeys(row.found.method for row in rows):
        cells = [
            f"{row.milliseconds:,.1f} ({row.found.n_iter}; {row.share:.0%})"
            for row in rows
            if row.found.method == method
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table into the page that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only methods with this in their name")
    parser.add_argument("--out", type=Path, help="a page with the markers of the table")
    options = parser.parse_args()
    names = [name for name in align.RELABELLINGS if options.only in name]
    rows = [measure(case, n, name) for name in names for case in CASES for n in (272, 82)]
    text = table(rows)
    print(text)
    if options.out is not None:
        head, _, rest = options.out.read_text(encoding="utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        options.out.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
