"""What the commands say without a fit: help, lists, and one line for everything that is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest

from emjax.cli.app import app
from emjax.cli.commands import run as commands

HEAVY = ("jax", "numpyro", "arviz", "matplotlib", "pandas", "pyarrow", "scipy", "xarray")


def refused(result) -> str:
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("emjax: error: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    return result.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("compar", "faithful"), "Did you mean 'compare'?"),
        (("compare",), "DATA (data) is missing: say which data"),
        (("compare", "faithful"), "-k (model.n_components) is missing"),
        (("compare", "faithful", "-k"), "requires an argument"),
        (("compare", "faithful", "-k", "two"), "Invalid value for '-k'"),
        (("compare", "faithful", "-k", "0"), "-k (model.n_components) = 0 is not allowed"),
        (("compare", "faithful", "-k", "2", "--family", "weibull"), "use one of normal, student_t, poisson"),
        (("compare", "faithful", "-k", "2", "--covariance", "fulll"), "did you mean 'full'?"),
        (
            ("compare", "faithful", "-k", "2", "--precision", "float16"),
            "--precision (methods[0].precision) = 'float16'",
        ),
        (("compare", "faithful", "-k", "2", "--method", "hcm"), "--method='hcm' is not one of 'auto', 'hmc', 'nuts'"),
        (("sample", "faithful", "-k", "2", "--method", "em"), "--method='em' is not one of 'auto', 'hmc', 'nuts'"),
        (("sample", "faithful", "-k", "2", "--target-accept-prob", "1"), "--target-accept-prob (methods[1].target"),
        (("compare", "faithful", "-k", "2", "--level", "90"), "--level (level) = 90.0"),
        (("compare", "faithful", "-k", "2", "--set", "mcmc.draws=3"), "is written as a method: [[methods]] with kind"),
        (("compare", "faithful", "-k", "2", "--set", "seed"), "write a key, '=' and a value"),
        (("compare", "faithful", "-k", "2", "--set", "model.prior=none"), "without a posterior"),
        (("compare", "faithful", "-k", "2", "--dras", "3"), "No such option: --dras"),
        (("compare", "faithfull", "-k", "2"), "faithful"),
        (("compare", "faithful", "-k", "2", "--columns", "eruption"), "eruptions"),
        (("fit", "faithful", "-k", "2", "--prior", "flat"), "is not one of 'none', 'default'"),
        (("fit", "faithful", "-k", "2", "--iterations", "0"), "--iterations (methods[0].iterations) = 0"),
        (
            ("fit", "faithful", "-k", "2147483648"),
            "-k (model.n_components) = 2147483648 is not allowed; it",
        ),
        (("fit", "faithful", "-k", "9" * 400), "-k (model.n_components) = 9999"),
        (("fit", "faithful", "-k", "9" * 5000), "Invalid value for '-k'"),
        (
            ("fit", "faithful", "-k", "2", "--max-iter", "2147483648"),
            "--max-iter (methods[0].max_iter) = 2147",
        ),
        (
            ("fit", "faithful", "-k", "2", "--iterations", "2147483648"),
            "--iterations (methods[0].iterations) = 2147",
        ),
        (
            ("fit", "faithful", "-k", "2", "--tol", "1e400"),
            "--tol (methods[0].tol) = inf is not allowed; it should be a",
        ),
        (("fit", "faithful", "-k", "2", "--tol", "nan"), "--tol (methods[0].tol) = nan is not allowed"),
        (("fit", "faithful", "-k", "2", "--seed", "-1"), "--seed (seed) = -1 is not allowed"),
        (("sample", "faithful", "-k", "2", "--draws", "1" + "0" * 30), "--draws (methods[1].draws) = 1000"),
        (
            ("sample", "faithful", "-k", "2", "--chains", "2147483648"),
            "--chains (methods[1].chains) = 2147483648 is",
        ),
        (
            ("fit", "faithful", "-k", "2", "--set", "seed=0x" + "f" * 5000),
            "(seed) = a number of thousands of digits is not",
        ),
        (
            ("fit", "faithful", "-k", "2", "--set", 'output.dir="a\\u0000b"'),
            "--out (output.dir): a path cannot hold",
        ),
        (("run",), "Missing argument"),
        (("run", "absent.toml"), "absent.toml: no such config file"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(emjax_command, arguments, expected):
    assert expected in refused(emjax_command(*arguments))


def write_bad_data(folder):
    rows = np.random.default_rng(0).normal(size=(20, 2))
    text = "a,b\n" + "\n".join(f"{a},{b}" for a, b in rows) + "\n"
    (folder / "nan.csv").write_text(text + "1,nan\n")
    (folder / "missing.csv").write_text(text + "1,\n")
    (folder / "infinite.csv").write_text(text + "1,inf\n")
    (folder / "text.csv").write_text(text + "1,two\n")
    (folder / "constant.csv").write_text("a,b\n" + "".join(f"{a},1\n" for a in rows[:, 0]))
    (folder / "few.csv").write_text("a\n1\n2\n")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "ragged.csv").write_text(text + "1,2,3\n")
    (folder / "binary.csv").write_bytes(b"\x93NUMPY\x01\x00")
    (folder / "text.npy").write_text(text)
    (folder / "text.parquet").write_text(text)
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "folder.csv").mkdir()
    np.save(folder / "cube.npy", np.zeros((2, 3, 4)))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    (folder / "fractions.csv").write_text("a\n" + "\n".join(str(i + 0.5) for i in range(9)) + "\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("absent.csv",), "absent.csv"),
        (("nan.csv",), "'b'"),
        (("missing.csv",), "'b'"),
        (("infinite.csv",), "'b'"),
        (("text.csv",), "'b'"),
        (("constant.csv",), "'b' is constant"),
        (("few.csv",), "fewer than the 3 components"),
        (("empty.csv",), "empty"),
        (("header.csv",), "header.csv"),
        (("ragged.csv",), "ragged.csv"),
        (("binary.csv",), "binary.csv"),
        (("text.npy",), "text.npy"),
        (("text.parquet",), "text.parquet"),
        (("photo.jpg",), "photo.jpg"),
        (("folder.csv",), "folder.csv"),
        (("cube.npy",), "cube.npy"),
        (("words.npy",), "words.npy"),
        (("nan.csv", "--columns", "c"), "'c'"),
        (("fractions.csv", "--family", "poisson"), "'a'"),
        (("faithful", "--columns", "waiting,waiting"), "twice"),
    ],
)
def test_bad_data_are_one_line_and_exit_code_2_and_leave_nothing(emjax_command, workplace, arguments, expected):
    write_bad_data(workplace)
    before = sorted(path.name for path in workplace.iterdir())
    assert expected in refused(emjax_command("fit", *arguments, "-k", "3"))
    assert sorted(path.name for path in workplace.iterdir()) == before


def test_an_existing_run_is_refused_before_the_fit(emjax_command, workplace):
    (workplace / "out").mkdir()
    (workplace / "out" / "note").write_text("mine")
    message = refused(emjax_command("fit", "faithful", "-k", "2", "--out", "out"))
    assert "--overwrite" in message
    message = refused(emjax_command("fit", "faithful", "-k", "2", "--out", "out", "--overwrite"))
    assert "not a run folder" in message
    assert (workplace / "out" / "note").read_text() == "mine"


def test_the_data_sets_are_listed(emjax_command):
    result = emjax_command("datasets")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert all(name in result.out for name in ("deaths", "faithful", "galaxies", "iris"))


def test_the_data_sets_are_listed_as_json(emjax_command):
    entries = {entry["name"]: entry for entry in json.loads(emjax_command("datasets", "--json").out)["datasets"]}
    assert entries["faithful"]["n_samples"] == 272
    assert entries["faithful"]["feature_names"] == ["eruptions", "waiting"]
    assert all(entry["source"] and entry["license"] for entry in entries.values())


def test_doctor_finds_this_machine(emjax_command):
    findings = json.loads(emjax_command("doctor", "--json").out)
    import jax

    assert findings["versions"]["jax"] == jax.__version__
    assert findings["devices"][0]["platform"] == jax.devices()[0].platform
    assert findings["precision"] == {"default": "float64", "float64": True, "float32": True}
    assert findings["cache"]["enabled"] is False
    text = emjax_command("doctor").out
    assert max(map(len, text.splitlines())) <= 80
    assert "float64 by default" in text


def test_the_schema_is_printed(emjax_command):
    config = json.loads(emjax_command("schema").out)
    assert {"methods", "sweep", "execution", "extends"} <= set(config["properties"])


def test_no_command_prints_the_help(emjax_command):
    result = emjax_command()
    assert result.code == 0
    assert "compare" in result.out
    assert result.out == emjax_command("--help").out


def test_help_fits_80_columns_and_tells_every_command(emjax_command):
    for command in app.registered_commands:
        command = command.name or command.callback.__name__
        result = emjax_command(command, "--help")
        assert result.code == 0
        assert max(map(len, result.out.splitlines())) <= 80


NEED_NO_FIT = (
    (["--help"], 0),
    (["compare", "--help"], 0),
    (["--version"], 0),
    (["datasets"], 0),
    (["schema"], 0),
    (["compare", "faithful"], 2),
    (["compare", "faithful", "-k", "2", "--nonsense"], 2),
    (["run", "absent.toml"], 2),
    (["run", "absent.yaml", "--dry-run"], 2),
)


def test_what_needs_no_fit_imports_nothing_heavy(tmp_path):
    """One process for all: what none of them loads, each does not load."""
    program = (
        "import sys\n"
        "from emjax.cli.app import main\n"
        f"for arguments, expected in {NEED_NO_FIT!r}:\n"
        "    sys.argv, code = ['emjax', *arguments], None\n"
        "    try:\n        main()\n    except SystemExit as exit:\n        code = exit.code\n"
        f"    loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    if code != expected or loaded:\n"
        "        sys.exit(f'{arguments}: code {code}, loaded {loaded}')\n"
        "sys.stderr.write('ALL\\n')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1] == "ALL"
    assert result.returncode == 0


def test_help_reads_no_more_of_the_package_than_the_schema():
    """What runs and folders need is imported by the commands that need it."""
    program = (
        "import sys\nimport emjax.cli.app\n"
        "rooms = ['archive.single', 'execution.run', 'pages', 'plan', 'results', 'summary', 'work']\n"
        "print([room for room in rooms if f'emjax.experiments.{room}' in sys.modules])\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_module_is_the_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "emjax", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    from importlib.metadata import version

    assert result.stdout == f"emjax {version('emjax')}\n"
    assert result.stderr == ""


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 8 TiB"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 6 bytes")],
)
def test_what_does_not_fit_the_memory_after_all_is_one_line(error, monkeypatch, capsys):
    def fails(*args, **options):
        raise error

    monkeypatch.setattr(commands, "execute", fails)
    assert app(["fit", "faithful", "-k", "2"], standalone_mode=False) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "emjax: error: there is not enough memory for this: ask for fewer components, starts, draws or rows\n"
    )


def test_other_errors_of_a_program_stay_what_they_are(monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("something else")

    monkeypatch.setattr(commands, "execute", fails)
    with pytest.raises(RuntimeError, match="something else"):
        app(["fit", "faithful", "-k", "2"], standalone_mode=False)


EARLY = """
import signal, sys, types
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
stub = types.ModuleType("emjax.cli.app")
stub.main = lambda: print(signal.getsignal(signal.SIGINT).name)
sys.modules["emjax.cli.app"] = stub
from emjax.__main__ import main
main()
"""


@pytest.mark.parametrize(("before", "while_it_loads"), [("default_int_handler", "SIG_DFL"), ("SIG_IGN", "SIG_IGN")])
def test_ctrl_c_while_the_command_line_loads_prints_no_traceback(before, while_it_loads):
    done = subprocess.run([sys.executable, "-c", EARLY, before], capture_output=True, text=True, check=True)
    assert done.stdout == f"{while_it_loads}\n"
