"""Make low_dim_gauss_mix.csv and .json from a checkout of posteriordb.

    python make_low_dim_gauss_mix.py PATH_OF_POSTERIORDB [--out FOLDER]

The checkout is https://github.com/stan-dev/posteriordb; README.md in this folder says which commit was used.
"""

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

NAME = "low_dim_gauss_mix"
POSTERIOR = f"{NAME}-{NAME}"


def read_zipped_json(path: Path) -> Any:
    """The one JSON document in a zip archive."""
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.namelist()
        return json.loads(archive.read(member))


def summary(draws: np.ndarray, ess_bulk: float) -> dict[str, float]:
    """Mean, sd, 5% and 95% quantiles of draws (chain, draw), with Monte Carlo standard errors.

    ``mcse_mean`` is sd / sqrt(ESS).  ``mcse_sd`` is the standard error of the variance over 2 sd, the draws
    taken as independent: they were thinned until their lag-1 autocorrelation was below 0.05.
    """
    sd = draws.std(ddof=1)
    squares = (draws - draws.mean()) ** 2
    lower, upper = np.quantile(draws, [0.05, 0.95])
    return {
        "mean": float(draws.mean()),
        "sd": float(sd),
        "q05": float(lower),
        "q95": float(upper),
        "ess_bulk": ess_bulk,
        "mcse_mean": float(sd / np.sqrt(ess_bulk)),
        "mcse_sd": float(squares.std(ddof=1) / np.sqrt(draws.size) / (2.0 * sd)),
    }


def main() -> None:
    """Read the checkout named on the command line and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posteriordb", type=Path, help="folder of a posteriordb checkout")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    arguments = parser.parse_args()

    database = arguments.posteriordb / "posterior_database"
    reference = database / "reference_posteriors" / "draws"
    y = read_zipped_json(database / "data" / "data" / f"{NAME}.json.zip")["y"]
    chains = read_zipped_json(reference / "draws" / f"{POSTERIOR}.json.zip")
    diagnostics = json.loads((reference / "info" / f"{POSTERIOR}.info.json").read_text())["diagnostics"]
    ess_bulk = dict(
        zip(
            diagnostics["diagnostic_information"]["names"],
            diagnostics["effective_sample_size_bulk"],
            strict=True,
        )
    )
    document = {
        "posterior": POSTERIOR,
        "n_samples": len(y),
        "n_chains": len(chains),
        "n_draws_per_chain": len(chains[0]["theta"]),
        "parameters": {
            name: summary(np.array([chain[name] for chain in chains]), ess_bulk[name]) for name in chains[0]
        },
    }
    (arguments.out / f"{NAME}.csv").write_text("y\n" + "".join(f"{value!r}\n" for value in y))
    (arguments.out / f"{NAME}.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
