"""Make normal_2.csv from a checkout of posteriordb.

    python make_normal_2.py PATH_OF_POSTERIORDB [--out FOLDER]

The checkout is https://github.com/stan-dev/posteriordb; README.md in this folder says which commit was used.
"""

import argparse
from pathlib import Path

from make_low_dim_gauss_mix import read_zipped_json


def main() -> None:
    """Read the checkout named on the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posteriordb", type=Path, help="folder of a posteriordb checkout")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    arguments = parser.parse_args()
    data = arguments.posteriordb / "posterior_database" / "data" / "data"
    y = read_zipped_json(data / "normal_2.json.zip")["y"]
    (arguments.out / "normal_2.csv").write_text("y\n" + "".join(f"{value!r}\n" for value in y))


if __name__ == "__main__":
    main()
