"""The programs of `models/`, loaded once for the tests that go through all of them."""

import runpy
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "models"
REFUSED = "change_point"
"""The one without a latent per datum."""

PROGRAMS = {path.stem: runpy.run_path(str(path)) for path in sorted(MODELS.glob("*.py"))}
PROGRAMS = {name: names for name, names in PROGRAMS.items() if "model" in names}
DATA = {name: names["data"]() for name, names in PROGRAMS.items()}
PER_DATUM = sorted(set(PROGRAMS) - {REFUSED})
