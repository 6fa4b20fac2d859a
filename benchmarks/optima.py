"""How often `fit` with default settings reaches the best optimum that is known: the table of docs/starts.md.

``python -m benchmarks.optima`` fits every case with ``--keys`` keys and prints the table; ``--out docs/starts.md``
writes it between its marks. A case is a data set, a number of components and a covariance structure. What is known of
each is in ``optima.json`` beside this file: ``python -m benchmarks.optima --search`` makes it, from many more starts of
every kind and with other keys, and from the labels where data are simulated; it takes no value back that was found
before. A key reached the best where its fit is a regular optimum not more than `SLACK` below it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import numpy as np

import emjax
from benchmarks.report import write_between_marks
from emjax.catalogue import STARTS_OF_DATA
from emjax.em.many import fit_many

REFERENCE = Path(__file__).with_suffix(".json")
SLACK = 1e-3
STRUCTURES = ("full", "tied", "diag", "spherical")
MARKS = ("<!-- optima -->", "<!-- end of optima -->")

_SEARCH_KEYS = range(1000, 1020)

Case = tuple[str, int, str]


def datasets() -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Name to data ``(n, d)``, and the labels ``(n,)`` where they are simulated."""
    faithful = np.asarray(emjax.datasets.load("faithful"), dtype=float)
    public = {name: np.asarray(emjax.datasets.load(name), dtype=float) for name in ("galaxies", "acidity", "iris")}
    public |= {"deaths": np.asarray(emjax.datasets.load("deaths"), dtype=float), "faithful": faithful}
    public |= {"faithful, eruptions": faithful[:, :1], "faithful, waiting": faithful[:, 1:]}
    return {name: (x.reshape(len(x), -1), None) for name, x in public.items()} | dict(simulated())


def simulated() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Three groups of few rows in many features, 9 to 12 standard deviations apart.

    Their features are of one scale, of scales that differ by up to four orders of magnitude, or correlated in each
    group in its own way; or the groups differ in two features alone.
    """
    for d, n, apart, kind in (
        (20, 50, 12.0, "one scale"),
        (20, 150, 9.0, "correlated"),
        (20, 150, 10.0, "one scale"),
        (30, 100, 12.0, "correlated"),
        (30, 150, 9.0, "scales"),
        (30, 150, 10.0, "two features"),
        (50, 100, 12.0, "correlated"),
        (50, 150, 9.0, "scales"),
        (50, 150, 10.0, "one scale"),
    ):
        rng = np.random.default_rng([d, n, int(apart), len(kind)])
        means = rng.normal(size=(3, d))
        if kind == "two features":
            means[:, 2:] = 0.0
        means *= apart / min(np.linalg.norm(means[i] - means[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
        mix = np.eye(d) + (kind == "correlated") * 0.5 * rng.normal(size=(3, d, d)) / np.sqrt(d)
        x = np.concatenate([mean + rng.normal(size=(n, d)) @ each.T for mean, each in zip(means, mix, strict=True)])
        scale = np.exp(rng.uniform(-4.6, 4.6, d)) if kind == "scales" else np.ones(d)
        yield f"3 x {n} rows, d = {d}, {kind}", (x * scale, np.repeat(np.arange(3), n))


def cases(data: dict[str, tuple[np.ndarray, np.ndarray | None]]) -> Iterator[Case]:
    """K = 2..6 and all structures that differ; simulated data have K = 3."""
    for name, (x, labels) in data.items():
        structures = STRUCTURES if x.shape[1] > 1 else STRUCTURES[:2]
        for k in (3,) if labels is not None else range(2, 7):
            for structure in ("poisson",) if name == "deaths" else structures:
                yield name, k, structure


def mixture(k: int, structure: str) -> emjax.Mixture:
    """The declaration of a case."""
    return emjax.Mixture(emjax.Poisson() if structure == "poisson" else emjax.Normal(covariance=structure), k)


def best_regular(fits: Sequence[Any]) -> float | None:
    """The highest log-likelihood of a regular optimum in any of the fits."""
    found = [o.log_likelihood for fit in fits if isinstance(fit, emjax.Fit) for o in fit.optima if o.kind == "regular"]
    return max(found, default=None)


def search(case: Case, x: np.ndarray, labels: np.ndarray | None) -> float | None:
    """The best regular optimum of several hundred starts."""
    _, k, structure = case
    keys, declared = [jax.random.key(i) for i in _SEARCH_KEYS], mixture(k, structure)
    fits = list(fit_many(declared, [x] * len(keys), keys=keys))
    for kind in STARTS_OF_DATA:
        fits += fit_many(declared, [x], keys=keys[:1], n_init=60, starts=kind)
    if labels is not None:
        fits.append(emjax.fit(declared, x, key=keys[0], init=np.eye(k)[labels]))
    return best_regular(fits)


def measure(case: Case, x: np.ndarray, n_keys: int) -> dict[str, Any]:
    """The log-likelihood of every key's fit (``None`` where it is not regular), its number of starts, and seconds."""
    _, k, structure = case
    begin = perf_counter()
    fits = fit_many(mixture(k, structure), [x] * n_keys, keys=[jax.random.key(i) for i in range(n_keys)])
    return {
        "found": [fit.log_likelihood if fit.optima[0].kind == "regular" else None for fit in fits],
        "starts": [sum(optimum.count for optimum in fit.optima) for fit in fits],
        "best": best_regular(fits),
        "seconds": perf_counter() - begin,
    }


def as_markdown(results: dict[str, dict[str, Any]], known: dict[str, float | None]) -> str:
    """A row for each data set and K: the keys that reached the best, by structure; and the sum."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    total, reached_in_all, starts = 0, 0, 0
    for title, result in results.items():
        name, k, structure = title.split(" | ")
        best, n = known[title], len(result["found"])
        reached = sum(one is not None and best is not None and one >= best - SLACK for one in result["found"])
        at = "full" if structure == "poisson" else structure
        if best is None:
            # Nothing regular is known: there is nothing to reach.
            rows.setdefault((name, k), {})[at] = "none"
            continue
        rows.setdefault((name, k), {})[at] = f"{reached} ({best:.4f})"
        total, reached_in_all, starts = total + n, reached_in_all + reached, starts + sum(result["starts"])
    lines = ["| data | K | " + " | ".join(STRUCTURES) + " |", "|---|---|" + "---|" * len(STRUCTURES)]
    for (name, k), row in rows.items():
        lines.append(f"| {name} | {k} | " + " | ".join(row.get(structure, "") for structure in STRUCTURES) + " |")
    share = 100 * reached_in_all / max(total, 1)
    mean = starts / max(total, 1)
    lines += ["", f"Reached in {reached_in_all} of {total} fits ({share:.1f}%), with {mean:.0f} starts on average."]
    return "\n".join(lines)


def _read(file: Path | None) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.exists() else {}


def _better(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Search or measure, case by case, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optima", description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=20, help="keys 0, 1, ... of every case (20)")
    parser.add_argument("--only", default="", help="the cases with this in 'data | K | structure'")
    parser.add_argument("--search", action="store_true", help="look for better optima instead, and keep them")
    parser.add_argument("--results", type=Path, help="a file that keeps what was measured, to go on after a break")
    parser.add_argument("--out", type=Path, help="a page whose part between the two marks is replaced")
    options = parser.parse_args(arguments)
    data, known, results = datasets(), _read(REFERENCE), _read(options.results)
    for case in cases(data):
        title = " | ".join(map(str, case))
        if options.only not in title or (title in results and not options.search):
            continue
        begin, (x, labels) = perf_counter(), data[case[0]]
        if options.search:
            found = search(case, x, labels)
        else:
            results[title] = measure(case, x, options.keys)
            found = results[title]["best"]
            if options.results:
                options.results.write_text(json.dumps(results), encoding="utf-8")
        seconds = perf_counter() - begin
        print(f"# {seconds:5.0f} s  {title}: {found}, known {known.get(title)}", file=sys.stderr, flush=True)
        known[title] = _better(known.get(title), found)
        if options.search:
            REFERENCE.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if not options.search:
        for title, result in results.items():
            known[title] = _better(known.get(title), result["best"])
        table = as_markdown(results, known)
        print(table)
        if options.out is not None:
            write_between_marks(options.out, table, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
