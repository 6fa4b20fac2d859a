"""`emjax select`: the table, its files, and one line for what is wrong."""

import csv
import io
import json

import numpy as np
import pytest

from emjax.cli.commands.select import numbers_of
from emjax.errors import ConfigError

ARGUMENTS = ("select", "acidity", "-k", "1:2", "--covariance", "tied", "--n-init", "4", "--criterion", "icl")


def test_the_table_fits_a_terminal(emjax_command):
    result = emjax_command(*ARGUMENTS)
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "2 models by ICL, 2 of them comparable:" in lines
    assert [line.split()[:2] for line in lines if line.startswith("tied")] == [["tied", "2"], ["tied", "1"]]


def test_csv_and_json_have_all_of_it(emjax_command):
    rows = list(csv.DictReader(io.StringIO(emjax_command(*ARGUMENTS, "--csv").out)))
    models = json.loads(emjax_command(*ARGUMENTS, "--json", "--bootstrap", "2").out)
    assert sum(model["icl"] for model in models["picks"]) == pytest.approx(1.0)
    assert models["criterion"] == "icl"
    assert [int(row["K"]) for row in rows] == [model["n_components"] for model in models["models"]] == [2, 1]
    assert float(rows[0]["ICL"]) == pytest.approx(models["models"][0]["icl"])
    assert models["models"][1]["difference"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("select",), "Missing argument 'DATA'"),
        (("select", "faithful", "-k", "2:1"), "-k 2:1: write whole numbers"),
        (("select", "faithful", "-k", "0:2"), "n_components = 0 is not allowed"),
        (("select", "faithful", "--covariance", "fulll"), "did you mean 'full'?"),
        (("select", "faithful", "--family", "weibull"), "family='weibull' is not one of"),
        (("select", "faithful", "--criterion", "dic"), "criterion='dic' is not one of"),
        (("select", "faithful", "--prior", "flat"), "--prior='flat' is not one of"),
        (("select", "faithfull"), "faithful"),
        (("select", "acidity", "--folds", "1"), "'--folds'"),
        (("select", "acidity", "--figure", "x.jpg"), "end its name in .svg, .pdf or .png"),
        (("select", "acidity", "--figure", "nowhere/x.svg"), "there is no folder nowhere"),
    ],
)
def test_one_line_for_what_is_wrong(emjax_command, arguments, expected):
    result = emjax_command(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert expected in result.err
    assert result.err.count("\n") == 1


def test_a_figure_is_drawn_as_its_name_ends(emjax_command, tmp_path):
    for name, head in (("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG")):
        path = tmp_path / name
        told = json.loads(emjax_command(*ARGUMENTS, "--json", "--figure", str(path)).out)
        assert told["figures"] == [str(path)]
        assert path.read_bytes().startswith(head)
    again = emjax_command(*ARGUMENTS, "--figure", str(tmp_path / "b.png"))
    assert "b.png" in "".join(again.out.split())
    assert (tmp_path / "b.png").read_bytes() == path.read_bytes()


def test_texts_are_levels_of_a_family_of_levels(emjax_command, tmp_path):
    answers = np.array(["no", "yes"])[np.random.default_rng(0).integers(2, size=(40, 3))]
    (tmp_path / "answers.csv").write_text("\n".join(["a,b,c", *map(",".join, answers)]))
    arguments = ("select", str(tmp_path / "answers.csv"), "-k", "1:2", "--n-init", "4", "--csv")
    rows = list(csv.DictReader(io.StringIO(emjax_command(*arguments, "--family", "categorical").out)))
    assert {row["K"]: row["df"] for row in rows} == {"1": "3", "2": "7"}
    refused = emjax_command(*arguments)
    assert refused.code == 2
    assert "is not a number" in refused.err


def test_numbers_of_components():
    assert numbers_of("1:3, 7,5") == [1, 2, 3, 7, 5]
    assert numbers_of("4") == [4]
    for wrong in ("", "a", "1:", "1:2:3", "3:1", "1:99999999", "1:5000", "-1", "1.5"):
        with pytest.raises(ConfigError, match="write whole numbers"):
            numbers_of(wrong)


@pytest.mark.slow
def test_the_command_says_who_says_which_number(emjax_command, tmp_path):
    # Sweeps over the number of components cost as many labels as there are rows: two dozen say all of it.
    rng = np.random.default_rng(1)
    counts = tmp_path / "counts.csv"
    counts.write_text("\n".join(["visits", *map(str, [*rng.poisson(2.0, 12), *rng.poisson(14.0, 12)])]), "utf-8")
    arguments = ("select", str(counts), "--family", "poisson", "-k", "1:2", "--n-init", "4", "--bayes")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    result = emjax_command(*arguments, "--figure", str(pictures / "chosen.svg"))
    assert {path.name for path in pictures.iterdir()} == {"chosen.svg", "chosen-number.svg"}
    assert ">evidence<" in (pictures / "chosen-number.svg").read_text(encoding="utf-8")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert "p(K+)" in result.out
    told = json.loads(emjax_command(*arguments, "--json").out)
    assert [vote["who"] for vote in told["votes"]][:3] == ["BIC", "AIC", "ICL"]
    assert [one["n_components"] for one in told["numbers"]] == [1, 2]
    assert told["warnings"] == [] or told["warnings"][0] in " ".join(result.out.split())
