"""A config is TOML and may extend others; what is wrong with it is said with file and line."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from emjax.errors import ConfigError
from emjax.experiments.config import reading
from emjax.experiments.config.positions import holds, line_of
from emjax.experiments.config.reading import read_study, read_tree
from emjax.files import read_regular

STUDY = """\
title = "a study"

[data]
kind = "simulate"
weights = [0.5, 0.5]
mean = [0, 3]
scale = [
  1,
  1,
]

[model]
n_components = 2

[[methods]]
kind = "em"

[[methods]]
name = "peer"
kind = "sklearn"
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write files into an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            stem, _, suffix = name.rpartition("_")
            path = tmp_path / f"{stem.replace('__', '/')}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def refused(path: str, overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        read_study(path, overrides)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  1,\n  1,",
            "  1,\n  0,",
            "c.toml, line 7: data.scale[1][0] = 0 is not allowed; it should be greater than 0",
        ),
        ('kind = "sklearn"', 'kind = "sklearn"\nn_init = 0', "c.toml, line 21: methods[1].n_init = 0 is not allowed"),
        ('kind = "em"', 'kind = "em"\nbudget = { seconds = 1.0 }', "unknown key 'methods[0].budget.seconds'"),
        ('kind = "em"', 'kind = "gibbs"\ntarget_accept_prob = 0.9', "gibbs tunes no steps"),
        ('kind = "em"', 'kind = "laplace"\nwarmup = 9', "draws of laplace are independent"),
        ('kind = "em"', 'kind = "hmc"\npseudo_rows = 2', "pseudo_rows is for bootstrap; hmc takes no rows"),
        ('kind = "em"', 'kind = "bootstrap"\npseudo_rows = -1', "pseudo_rows = -1 is not allowed"),
        ('kind = "em"', 'kind = "em"\nbudget = {}', "methods[0].budget"),
        ('kind = "em"', 'kind = "auto"\nbudget = { evaluations = 100 }', "auto goes on until its draws suffice"),
        (
            'kind = "em"',
            'kind = "em"\nstarts = "prior_draws"',
            "line 17: starts = 'prior_draws' needs a prior, and em is",
        ),
        ('kind = "em"', 'kind = "em"\nn_inits = 1', "line 17: unknown key 'methods[0].n_inits'; did you mean"),
        (
            'kind = "em"',
            'kind = "nuts"\ndtype = "float32"',
            "line 17: methods[0]: dtype = 'float32' is for hmc and gibbs",
        ),
        (
            'kind = "em"',
            'kind = "hmc"\nverdict = true\ndraws = 9',
            "line 18: methods[0]: chains x draws = 72: a verdict needs at least 100",
        ),
        ('kind = "em"', 'kind = "em"\ndraws = 1', "'methods[0].draws'; it is for kind auto, hmc, nuts"),
        (
            'kind = "em"',
            'kind = "emm"',
            "line 16: methods[0].kind = 'emm' is not allowed; use one of em, map, auto, hmc",
        ),
        ('kind = "em"', 'name = "x"', "line 15: methods[0].kind is missing; use one of em, map"),
        ("n_components = 2", "", "line 12: model.n_components is missing: number of components, K"),
        (
            "n_components = 2",
            'n_components = 2\nfile = "m.py"',
            "line 13: unknown key 'model.n_components'; it does not go with model.file",
        ),
        (
            "n_components = 2",
            "n_components = 2\nprior.rate = 1",
            "line 14: model: prior.rate is not for family 'normal'",
        ),
        (
            "n_components = 2",
            'n_components = 2\nprior = "flat"',
            "line 14: model.prior = 'flat' is not allowed; use one of",
        ),
        (
            "n_components = 2",
            "n_components = 2\nprior.scatter = -1",
            "line 14: model.prior.scatter = -1 is not allowed",
        ),
        (
            "n_components = 2",
            'n_components = 2\nfamily = "poisson"',
            "line 14: model.family = 'poisson' is for counts, and normal components draw none",
        ),
        (
            "n_components = 2",
            'n_components = 2\nprior = "none"\n[[methods]]\nkind = "map"',
            "line 14: model.prior = 'none' leaves method 'map' without",
        ),
        ('name = "peer"\nkind = "sklearn"', 'kind = "em"', "line 18: two methods are called 'em'"),
        ("mean = [0, 3]", "mean = [0, 3, 6]", "line 6: data: mean has 3 components and weights has 2"),
        (
            "[data]",
            "[data]\ncontamination.share = 0.1\nmisspecification = { kind = 'uniform', skewness = 0.5 }",
            "line 5: ",
        ),
        (
            "mean = [0, 3]",
            "mean = [0, nan]",
            "c.toml, line 6: data.mean[1][0] = nan is not allowed; it should be a finite number",
        ),
        (
            "mean = [0, 3]",
            "mean = [0, 2026-01-01]",
            "data.mean[1][0] = datetime.date(2026, 1, 1) is not allowed; it should be a valid number",
        ),
        ("mean = [0, 3]", f"mean = [0, {10**200}]", "data.mean[1][0] = 1000"),
        ("mean = [0, 3]", f"mean = [0, {'9' * 5000}]", "not valid TOML"),
        ("mean = [0, 3]", f"mean = {'[' * 5000}", "nested too deeply"),
        ("mean = [0, 3]", f"{'a.' * 31}b = 1", "nested more than 32 levels deep"),
        ("mean = [0, 3]", f"{'a.' * 500}b = 1", "line 6, column 1: not valid TOML: a key of more than 32 parts is"),
        ("title = ", "title = 3 #", "line 1: title = 3 is not allowed; it should be a valid string"),
        ("[data]", "[execution]\nbatch = 0\n[data]", "line 4: execution.batch = 0 is not allowed"),
        ("[data]", "[data.contamination]\nshare = 1\n[data]", "line 4: data.contamination.share = 1 is not allowed"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(files, old, new, expected):
    assert old in STUDY
    files(c_toml=STUDY.replace(old, new, 1))
    assert expected in refused("c.toml")


def test_every_way_of_writing_toml_is_found_in_its_line():
    text = """\
a = 1 # b = 2
"x.y".z = '''one
two'''
[t."u v"]
k = [1, [2,
  3],
  { p = 4, q = [5] },  # ] not the end
] # end
[[list]]
n = "a \\" # no comment"
[list.below]
m = \"\"\"
[not.a.table]
quoted \\\""" still in\"\"\"
[[list]]
n = {a.b = 1}
last = 1979-05-27T07:32:00Z
"""
    lines = {
        "a": 1, "x.y": 2, "x.y/z": 2, "t": 4, "t/u v": 4, "t/u v/k": 5, "t/u v/k/0": 5, "t/u v/k/1": 5,
        "t/u v/k/1/0": 5, "t/u v/k/1/1": 5, "t/u v/k/2": 5, "t/u v/k/2/p": 5, "t/u v/k/2/q": 5,
        "t/u v/k/2/q/0": 5, "list": 9, "list/0": 9, "list/0/n": 10, "list/0/below": 11, "list/0/below/m": 12,
        "list/1": 15, "list/1/n": 16, "list/1/n/a": 16, "list/1/n/a/b": 16, "list/1/last": 17,
    }  # fmt: skip
    assert {place: line_at(text, place) for place in lines} == lines


def line_at(text: str, place: str) -> int | None:
    location = tuple(int(part) if part.isdecimal() else part for part in place.split("/"))
    return line_of(text, lambda tree: holds(tree, location))


def test_lines_are_not_looked_for_without_end():
    text = "a = [\n" + "1,\n" * 20_000 + "]\nb = 1\n"
    assert line_at(text, "b") is None, "rather no line than minutes"
    assert line_at("\na = 1\n" + "b.c = 2\n", "b/c") == 3


# -- what is no config


def test_yaml_is_refused_with_a_command_that_converts_it(files):
    folder = files(c_yaml="title: a study\nmodel: {n_components: 2}\n", d_YML="")
    message = refused("c.yaml")
    assert message.startswith("c.yaml: YAML is not read, configs are written in TOML; to convert one: python -c '")
    assert "TOML" in refused("d.YML")
    program = message.split("'")[1]
    with (folder / "c.yaml").open() as old:
        done = subprocess.run([sys.executable, "-c", program], stdin=old, capture_output=True, text=True, check=True)
    assert tomllib.loads(done.stdout) == {"title": "a study", "model": {"n_components": 2}}


def test_what_is_no_regular_file_is_not_waited_for(files):
    folder = files(c_toml=STUDY)
    os.mkfifo(folder / "pipe.toml")
    for path in ("pipe.toml", "/dev/zero", "/dev/null"):
        assert "cannot be read: it is not a regular file" in refused(path)
    files(d_toml='extends = "pipe.toml"\n')
    assert "it is not a regular file" in refused("d.toml")
    assert "a path cannot hold a NUL character" in refused("a\0b.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#" * (2**20 + 1), "a config and the files that it extends have at most 0.5 MiB together"),
        ("x = [" + "1," * 60_000 + "]", "more than 50,000 values"),
        (
            "\n" + "a." * 100_000 + "a = 1",
            "c.toml, line 2, column 1: not valid TOML: a key of more than 32 parts",
        ),
        ("[" + "a . " * 100_000 + "a]", "a key of more than 32 parts"),
        ("x = [{ " + "'a'.\"b\"." * 50_000 + "a = 1 }]", "a key of more than 32 parts"),
        ("x = " + "{ a = " * 2_000, "nested too deeply"),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_read(files, text, expected):
    files(c_toml=text)
    assert expected in refused("c.toml")


def test_a_long_text_is_no_long_key(files):
    files(c_toml=f'title = "{"a." * 100}a"\n')
    assert read_tree("c.toml").tree["title"].endswith("a.a")


def test_files_of_a_config_share_one_limit(files):
    comment = "#" * 200_000 + "\n"
    files(a_toml=comment, b_toml=comment, c_toml='extends = ["a.toml", "b.toml"]\n' + comment)
    assert "at most 0.5 MiB together" in refused("c.toml")


def diamond(n_levels: int) -> dict[str, str]:
    """Files of which each extends both of the next level, so that 2^n ways lead to the last."""
    return {
        f"{side}{level}_toml": f'extends = ["l{level + 1}.toml", "r{level + 1}.toml"]\n'
        for level in range(n_levels)
        for side in "lr"
    }


def test_a_file_that_many_extend_is_read_once(files, monkeypatch):
    read = []
    monkeypatch.setattr(reading, "read_regular", lambda path, most: read.append(path) or read_regular(path, most))
    files(**diamond(7), l7_toml=STUDY, r7_toml="seed = 5\n", c_toml='extends = ["l0.toml", "r0.toml"]\n')
    assert read_study("c.toml").seed == 5
    assert len(read) == len(set(read)) == 17


def test_neither_ways_nor_chains_of_extends_grow_without_end(files):
    chain = {f"c{level}_toml": f'extends = "c{level + 1}.toml"\n' for level in range(2_000)}
    files(**diamond(40), l40_toml=STUDY, r40_toml="", **chain)
    assert "more than 32 files extend one another" in refused("l0.toml")
    assert "more than 32 files extend one another" in refused("c0.toml")


# -- extends


def test_a_config_extends_another(files):
    folder = files(
        base_toml=STUDY + "[execution]\nbatch = 7\nretries = 3\n",
        more__c_toml='extends = "../base.toml"\ntitle = "other"\n[execution]\nbatch = 9\n[[methods]]\nkind = "map"\n',
    )
    study = read_study(folder / "more" / "c.toml")
    assert (study.title, study.execution.batch, study.execution.retries) == ("other", 9, 3)
    assert [method.label for method in study.methods] == ["map"], "lists are replaced"
    assert study.data.n_samples == 1000


def test_the_later_of_several_bases_is_stronger(files):
    files(
        a_toml=STUDY + "[execution]\nbatch = 1\nretries = 1\n",
        b_toml='title = "b"\n[execution]\nbatch = 2\n',
        c_toml='extends = ["a.toml", "b.toml"]\ntitle = "c"\n',
    )
    study = read_study("c.toml")
    assert (study.title, study.execution.batch, study.execution.retries) == ("c", 2, 1)


def test_a_table_that_changes_its_kind_replaces_the_other(files):
    files(base_toml=STUDY, c_toml='extends = "base.toml"\n[data]\nkind = "source"\nsource = "faithful"\n')
    assert read_study("c.toml").data.source == "faithful"
    files(m_toml='extends = "base.toml"\n[model]\nfile = "m.py"\n')
    assert read_study("m.toml").model.file == "m.py"


def test_an_error_in_a_base_names_the_base_and_its_line(files):
    files(base_toml=STUDY.replace("n_components = 2", "n_components = 0"), c_toml='extends = "base.toml"\nseed = 1\n')
    assert refused("c.toml").startswith("base.toml, line 13: model.n_components = 0")
    files(c_toml='extends = "base.toml"\n[model]\nn_components = -1\n')
    assert refused("c.toml").startswith("c.toml, line 3: model.n_components = -1")


@pytest.mark.parametrize(
    ("extends", "expected"),
    [
        ('"c.toml"', "c.toml: extends goes in a circle: c.toml -> c.toml"),
        ('"d.toml"', "c.toml: extends goes in a circle: c.toml -> d.toml -> c.toml"),
        ('"absent.toml"', "absent.toml: no such config file"),
        ('"."', "is a folder"),
        ('"a\\u0000b"', "c.toml, line 1: extends = 'a\\x00b' is not allowed"),
        ("3", "c.toml, line 1: extends = 3 is not allowed; write the path of a config file, or a list of paths"),
        ('["e.toml", ""]', "c.toml, line 1: extends = "),
        ('["e.toml", "e.toml"]', "extends names a file twice"),
    ],
)
def test_a_wrong_base_is_refused(files, extends, expected):
    files(c_toml=f"extends = {extends}\n" + STUDY, d_toml='extends = "c.toml"\n', e_toml="")
    assert expected in refused("c.toml")


def test_paths_are_relative_to_the_file_they_stand_in(files):
    folder = files(
        base__base_toml='[model]\nfile = "m.py"\n[[methods]]\nkind = "em"\n[output]\ndir = "out"\n',
        more__c_toml='extends = "../base/base.toml"\n[data]\nsource = "x.csv"\n[sweep.grid]\n'
        'data.source = ["x.csv", "faithful", "sub/y.csv"]\n',
    )
    os.chdir(folder / "base")
    study = read_study("../more/c.toml")
    assert [os.path.relpath(path, folder) for path in (study.model.file, study.output.dir)] == ["base/m.py", "base/out"]
    x, name, y = study.sweep.grid["data.source"]
    assert [os.path.relpath(path, folder) for path in (x, y)] == ["more/x.csv", "more/sub/y.csv"]
    assert name == "faithful"


# -- overrides


def test_overrides_reach_methods_by_their_names_and_the_sweep(files):
    files(c_toml=STUDY + '[sweep.grid]\n"data.n_samples" = [10, 20]\n')
    study = read_study("c.toml", ["methods.peer.n_init=7", "sweep.grid.data.n_samples=[30]", "data.overlap=0.2"])
    assert study.methods[1].n_init == 7
    assert study.sweep.grid == {"data.n_samples": (30,)}
    assert study.data.overlap == 0.2
    study = read_study("c.toml", ['methods=[{kind = "map"}]', "sweep.replicates=3"])
    assert [method.label for method in study.methods] == ["map"]
    assert study.sweep.replicates == 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("methods.em.n_init=0", "--set methods.em.n_init=0: methods[0].n_init = 0 is not allowed"),
        ("methods.x.n_init=1", "with a name among 'em', 'peer'"),
        ("sweep.grid.data.overlap=[2]", '--set sweep.grid.data.overlap=[2]: sweep.grid."data.overlap"[0] = 2: data.ov'),
        ("data.weights.x=3", "--set data.weights.x=3: 'data.weights' is a value, not a table"),
        ("seed=" + "[" * 5000, "--set seed=[[["),
        ("a." * 5000 + "b=1", "nested more than 32 levels deep"),
        ("seed=inf", "--set seed=inf: seed = inf is not allowed"),
    ],
)
def test_a_wrong_override_is_named(files, override, expected):
    files(c_toml=STUDY)
    assert expected in refused("c.toml", [override])
