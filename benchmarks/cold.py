"""Cold starts: CPU seconds of a fresh process, from nothing to a fitted model of 272 points (Old Faithful)."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.client import ROOT, environment

_READ = "import sys, numpy; x = numpy.load(sys.argv[1]); "
_EMJAX = (
    "import emjax, jax; fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=jax.random.key(0){options}); "
    "print(fit.log_likelihood / len(x))"
)
_SKLEARN = (
    "from sklearn.mixture import GaussianMixture; "
    "model = GaussianMixture(2, random_state=0{options}).fit(x); print(model.score(x))"
)
_GMMX = (
    "import jax, jax.numpy as jnp; from gmmx import EMFitter, GaussianMixtureModelJax; "
    "x = jnp.asarray(x, jnp.float32); model = GaussianMixtureModelJax.from_k_means(x, 2); "
    "print(float(EMFitter().fit(x=x, gmm=model).log_likelihood))"
)

PROGRAMS = {
    "scikit-learn, defaults (1 start)": _READ + _SKLEARN.format(options=""),
    "scikit-learn, 20 starts": _READ + _SKLEARN.format(options=", n_init=20"),
    "emjax, defaults (20 starts)": _READ + _EMJAX.format(options=""),
    "emjax, defaults, compilation cache warm": _READ + _EMJAX.format(options=""),
    "emjax, 1 start": _READ + _EMJAX.format(options=", n_init=1"),
    "gmmx, defaults (1 start, float32)": _READ + _GMMX,
    "`import jax` alone": "import jax",
}
BASE = "scikit-learn, defaults (1 start)"
_NEEDS = {"scikit-learn": "sklearn", "gmmx": "gmmx"}


@dataclasses.dataclass
class Cold:
    """CPU seconds (user and system) of processes, and the log-likelihood per sample that the last one printed."""

    program: str
    cpu: list[float] = dataclasses.field(default_factory=list)
    log_likelihood: float = float("nan")
    reason: str = ""

    @property
    def seconds(self) -> float | None:
        """The median."""
        return median(self.cpu) if self.cpu else None


def compare_cold(core: int, repeats: int, say: Callable[[str], None] = lambda _: None) -> list[Cold]:
    """All programs in turn, ``repeats`` times, after one untimed round that warms the disk and the cache."""
    import emjax

    rows = [Cold(program) for program in PROGRAMS]
    for row in rows:
        needed = _NEEDS.get(row.program.split(",")[0])
        if needed is not None and importlib.util.find_spec(needed) is None:
            row.reason = f"not installed: {needed}"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        data = Path(folder, "x.npy")
        np.save(data, emjax.datasets.load("faithful").values)
        for repeat in range(repeats + 1):
            say(f"cold start, {'warming up' if not repeat else f'round {repeat}'}")
            for row in rows:
                if not row.reason:
                    _run(row, data, core, keep=repeat > 0)
    return rows


def _run(row: Cold, data: Path, core: int, *, keep: bool) -> None:
    cache = "cache" in row.program
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[row.program], str(data)],
        cwd=ROOT,
        env=environment(1) | (_cache(data.parent) if cache else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    # A few lines at most come from each, so that neither pipe can fill up while the other is read.
    printed, complaints = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        row.reason = (complaints.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    elif keep:
        row.cpu.append(used.ru_utime + used.ru_stime)
        row.log_likelihood = float(printed.split()[-1]) if printed.strip() else float("nan")


def _cache(folder: Path) -> dict[str, str]:
    # By default JAX keeps only what took a second to compile, and here nothing does by itself.
    return {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
