"""The checks of `.ci/run` that read better in Python: `checks.py wheel FILE | import | run FOLDER...`.

Only the standard library: it runs with the machine's own Python, before anything is installed.
"""

import importlib
import json
import sys
import zipfile
from pathlib import Path

RUN_FILES = ("config.toml", "environment.json", "em.json", "posterior.nc", "comparison.json", "report.html")
COMPARISON_KEYS = {"verdict", "reasons", "parameters", "invariants", "diagnostics", "cost"}
ROW_KEYS = {
    *("name", "em", "se", "em_lower", "em_upper", "mean", "sd", "lower", "upper"),
    *("difference_in_sd", "width_ratio"),
}
VERDICTS = {"em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"}
HEAVY = ("numpyro", "arviz", "matplotlib")


def check_wheel(wheel: Path) -> list[str]:
    """Complaints about a wheel: its only top-level names are the package and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top_level = {name.split("/")[0] for name in names}
    version = wheel.name.split("-")[1]
    allowed = {"emjax", f"emjax-{version}.dist-info"}
    complaints = [f"{wheel.name} has the top-level name {name!r}" for name in sorted(top_level - allowed)]
    complaints += [f"{wheel.name} lacks {name!r}" for name in sorted(allowed - top_level)]
    complaints += [f"{wheel.name} lacks 'emjax/py.typed'"] if "emjax/py.typed" not in names else []
    complaints += [f"{wheel.name} ships the byte code {name!r}" for name in names if "__pycache__" in name]
    if not complaints:
        print(f"{wheel.name}: {len(names)} files, top-level names {sorted(top_level)}")
    return complaints


def check_import() -> list[str]:
    """Complaints about `import emjax` as this interpreter sees it: where it comes from, what it loads."""
    emjax = importlib.import_module("emjax")
    # Read before anything else is loaded here.
    loaded = [name for name in HEAVY if name in sys.modules]
    origin = Path(str(emjax.__file__)).resolve()
    print(f"emjax comes from {origin}")
    complaints = [f"import emjax loads {name}" for name in loaded]
    if not origin.is_relative_to(Path(sys.prefix).resolve()):
        complaints.append(f"emjax was imported from {origin}, not from the installed wheel in {sys.prefix}")
    return complaints


def check_run(folder: Path) -> list[str]:
    """Complaints about a run folder: its six files, and the keys of comparison.json."""
    complaints = [
        f"{folder / name} is missing or empty"
        for name in RUN_FILES
        if not (folder / name).is_file() or (folder / name).stat().st_size == 0
    ]
    if complaints:
        return complaints
    json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    json.loads((folder / "em.json").read_text(encoding="utf-8"))
    path = folder / "comparison.json"
    comparison = json.loads(path.read_text(encoding="utf-8"))
    complaints += [f"{path} lacks the key {key!r}" for key in sorted(COMPARISON_KEYS - comparison.keys())]
    if complaints:
        return complaints
    if comparison["verdict"] not in VERDICTS:
        complaints.append(f"{path} has the verdict {comparison['verdict']!r}, none of {sorted(VERDICTS)}")
    if not comparison["reasons"]:
        complaints.append(f"{path} gives no reasons for its verdict")
    if not comparison["parameters"]:
        complaints.append(f"{path} compares no parameters")
    for row in comparison["parameters"]:
        complaints += [f"{path}: a row of parameters lacks {key!r}" for key in sorted(ROW_KEYS - row.keys())]
    if not complaints:
        print(f"{folder.name}: {comparison['verdict']}, {len(comparison['parameters'])} parameters compared")
    return complaints


def main(arguments: list[str]) -> int:
    """Run one of the checks; 1 when there is anything to complain about."""
    match arguments:
        case ["wheel", wheel]:
            complaints = check_wheel(Path(wheel))
        case ["import"]:
            complaints = check_import()
        case ["run", *folders] if folders:
            complaints = [complaint for folder in folders for complaint in check_run(Path(folder))]
        case _:
            complaints = ["usage: checks.py wheel FILE | import | run FOLDER..."]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
