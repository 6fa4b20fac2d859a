"""What it is worth that a study works on many data sets in one process: beside one process for each data set.

Both run the same command with one worker and a warm compilation cache, in turns; the medians are compared.

    python -m benchmarks.batching [--replicates 50] [--rounds 3] [--method em|hmc]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
[data]
kind = "simulate"
weights = [0.4, 0.6]
mean = [0.0, 3.0]
scale = [1.0, 1.0]
n_samples = 500

[model]
n_components = 2

[[methods]]
kind = "{method}"
{settings}
"""
SETTINGS = {"em": "", "hmc": "draws = 250"}


def seconds_of(folder: Path, name: str, replicates: int, seed: int) -> float:
    """Wall seconds of `emjax run` on so many data sets."""
    command = [sys.executable, "-m", "emjax", "run", str(folder / "config.toml"), "--quiet", "--workers", "1"]
    settings = {"seed": seed, "sweep.replicates": replicates, "execution.batch": replicates}
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    begun = time.perf_counter()
    subprocess.run([*command, "--out", str(folder / name)], check=True, cwd=folder)
    return time.perf_counter() - begun


def main() -> None:
    """Measure, and print the two times of a data set and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicates", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", choices=sorted(SETTINGS), default="em")
    chosen = parser.parse_args()
    together, apart = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EMJAX_CACHE_DIR"] = str(folder / "cache")
        text = CONFIG.format(method=chosen.method, settings=SETTINGS[chosen.method])
        (folder / "config.toml").write_text(text, encoding="utf-8")
        for number in range(-1, chosen.rounds):
            many = seconds_of(folder, f"together{number}", chosen.replicates, seed=1000 + number)
            one = seconds_of(folder, f"apart{number}", 1, seed=2000 + number)
            if number >= 0:  # the first round fills the compilation cache
                together.append(many / chosen.replicates)
                apart.append(one)
    both = statistics.median(together), statistics.median(apart)
    print(f"{chosen.method}, {chosen.replicates} data sets of 500 rows, medians of {chosen.rounds} rounds")
    print(f"one study             {both[0]:8.3f} s a data set")
    print(f"one process for each  {both[1]:8.3f} s a data set")
    print(f"ratio                 {both[1] / both[0]:8.1f}")


if __name__ == "__main__":
    main()
