"""A config is refused in one line that names the key and the way out, or it is complete."""

import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
import tomli_w

from emjax.catalogue import SAMPLERS, fewest_chains
from emjax.errors import ConfigError
from emjax.experiments.config.methods import MIN_DRAWS_TO_COMPARE
from emjax.experiments.config.overrides import Declared
from emjax.experiments.config.reading import overridden, read_study
from emjax.experiments.config.schema import Study, resolved, single_task
from emjax.experiments.plan.cells import checked_study

COMPLETE = '[data]\nsource = "faithful"\n[model]\nn_components = 2\n'
LAW = '[model.prior.mean]\nlaw = "normal"\nscale = 1\nmean = {}\n'
EM, SAMPLER = '[[methods]]\nkind = "em"\n', '[[methods]]\nkind = "{}"\n'


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def message_of(path: Path, overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        read_study(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or "--set" in message
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            COMPLETE.replace("n_components", "n_componets"),
            "'model.n_componets'; did you mean 'model.n_components'?",
        ),
        ("seeds = 1\n" + COMPLETE, "unknown key 'seeds'; did you mean 'seed'?"),
        (COMPLETE + SAMPLER.format("hmc") + "warm-up = 3\n", "'methods[0].warm-up'; did you mean 'methods[0].warmup'?"),
        (COMPLETE + "chains = 3\n", "unknown key 'model.chains'; did you mean 'methods.<name>.chains'?"),
        ("[modle]\nn_components = 2\n" + COMPLETE, "unknown key 'modle'; did you mean 'model'?"),
        (
            "zzzz = 1\n" + COMPLETE,
            "allowed: title, question, answered_by, seed, data, model, methods, measures",
        ),
        (
            COMPLETE + 'family = "norml"\n',
            "model.family = 'norml' is not allowed; use one of normal, student_t, poisson",
        ),
        ("levels = [0.5, 0.9]\n" + COMPLETE, "levels = [0.5, 0.9]: give different ones below level = 0.9"),
        ("levels = [0.5, 0.5]\n" + COMPLETE, "levels = [0.5, 0.5]: give different ones below level = 0.9"),
        (COMPLETE + 'family = "poisson"\ncovariance = "full"\n', "'poisson' has none"),
        (COMPLETE + 'prior = "none"\n', "model.prior = 'none' leaves method 'auto' without a posterior"),
        (
            COMPLETE + SAMPLER.format("nutz"),
            "nuts, gibbs, laplace, bootstrap, sklearn, own (did",
        ),
        (
            COMPLETE + EM + 'intervals = "profil"\n',
            "methods[0].intervals = 'profil' is not allowed; use one of auto,",
        ),
        (COMPLETE + EM + 'intervals = "nine"\n', "jackknife, none (did you mean 'none'?)"),
        (COMPLETE + LAW.format('["x"]'), "model.prior.mean.mean[0] = 'x' is not allowed; it"),
        (COMPLETE + LAW.format("[[1, 2], [3]]"), "model.prior.mean.mean: every list needs as many numbers as the one"),
        (COMPLETE + SAMPLER.format("auto") + "target_accept_prob = 1.0\n", "target_accept_prob = 1.0 is not allowed"),
        (COMPLETE.replace("= 2", "= 0"), "model.n_components = 0 is not allowed; it should be greater"),
        (COMPLETE.replace("= 2", "= true"), "model.n_components = True is not allowed"),
        (COMPLETE.replace("= 2", '= "2"'), "model.n_components = '2' is not allowed"),
        (COMPLETE.replace("= 2", "= 2.5"), "model.n_components = 2.5 is not allowed"),
        ("seed = -1\n" + COMPLETE, "seed = -1 is not allowed"),
        (COMPLETE + EM + "tol = inf\n", "methods[0].tol = inf is not allowed"),
        ("level = 1.0\n" + COMPLETE, "level = 1.0 is not allowed; it should be less than 1"),
        ("level = 90\n" + COMPLETE + EM + "tol = -1\nn_init = 0\n", "(and 2 more errors)"),
        ('data = "faithful"\n[model]\nn_components = 2\n', "data = 'faithful' is not a table"),
        ('[data]\nsource = "faithful"\n', "model is missing: add [model] n_components = K"),
        ("[model]\nn_components = 2\n", "data is missing: say which data"),
        ("[data]\n[model]\nn_components = 2\n", "data.source is missing: a bundled name"),
        ('[data]\nsource = "a.csv"\ncolumns = "a"\n[model]\nn_components = 2\n', "data.columns = 'a'"),
        ('[data]\nsource = "a.csv"\ncolumns = ["a", "a"]\n[model]\nn_components = 2\n', "named twice"),
        ('[data]\nkind = "simulated"\n[model]\nn_components = 2\n', "use one of source, simulate"),
        (COMPLETE + "methods = []\n", "'model.methods'; did you mean 'methods'"),
        ("methods = []\n" + COMPLETE, "methods = [] is not allowed; it should have at least 1 item"),
        # As emjax 0.1.0 has read it.
        (COMPLETE + "[mcmc]\ndraws = 3\n", "line 5: unknown key 'mcmc'; it is written as a method: [[methods]] with"),
        (COMPLETE + "[em]\nn_init = 3\n", 'a method: [[methods]] with kind = "em"'),
        (COMPLETE + "[compare]\nlevel = 0.9\n", "level at the top"),
        ('task = "fit"\n' + COMPLETE, "line 1: unknown key 'task'; it is written as [[methods]], of kind"),
        ('precision = "float32"\n' + COMPLETE, "a setting of the methods"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(write, text, expected):
    assert expected in message_of(write(text))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("weights = [0.5, 0.6]\nmean = [0, 1]\nscale = [1, 1]", "weights sum to 1.1"),
        ("weights = [0.5, 0.5]\nmean = [0, 1]", "give mean and scale, or mean and covariance"),
        ("weights = [0.5, 0.5]\nmean = [0, 1]\nrate = [1, 2]", "give mean and scale"),
        ('family = "gamma"\nweights = [0.5, 0.5]\nrate = [1, 2]', "give rate and shape (gamma)"),
        (
            'family = "student_t"\nweights = [1]\nmean = [0]\ndf = [3]',
            "give df and mean and scale, or cov",
        ),
        ('family = "categorical"\nweights = [1]\nprobability = [[[0.5, 1.5]]]', "data.probability"),
        ('family = "gamma"\nweights = [1]\nrate = [1]\nshape = [[1, 2]]', "rate has 1 feature and shape has 2"),
        ("weights = [0.5, 0.5]\nrate = [1]", "rate has 1 component and weights has 2"),
        (
            'family = "bernoulli"\nweights = [1]\nprobability = [[0.5, 1.5]]',
            "data.probability[0][1] = 1.5 is not allowed; it should be less",
        ),
        (
            'family = "bernoulli"\nweights = [1]\nprobability = "x"',
            "data.probability = 'x' is not allowed; it should",
        ),
        ("weights = [0.5, 0.5]\nrate = [1, 2, 3]", "rate has 3 components and weights has 2"),
        ("weights = [0.5, 0.5]\nmean = [[0, 1], [2]]\nscale = [1, 1]", "same number of features"),
        (
            "weights = [0.5, 0.5]\nmean = [[0, 1], [2, 3]]\nscale = [1, 1]",
            "mean has 2 features and scale has 1",
        ),
        ("weights = [0.5, 0.5]\nmean = [0, 1]\ncovariance = [[[1, 0], [0, 1]], [[1]]]", "has to be 1 x 1"),
        ("weights = [0.5, 0.5]\nmean = [0, 1]\nscale = [1, 0]", "data.scale[1][0] = 0 is not allowed"),
        (
            "weights = [0.5, 0.5]\nrate = [1, 2]\nn_sample = 5",
            "'data.n_sample'; did you mean 'data.n_samples'?",
        ),
    ],
)
def test_a_wrong_simulation_is_refused_in_one_line(write, data, expected):
    text = f'[data]\nkind = "simulate"\n{data}\n[model]\nn_components = 2\n'
    assert expected in message_of(write(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[data\nsource = 1\n", "line 1, column 6: not valid TOML"),
        ("seed = 1\nseed = 2\n", "line 2, column 9: not valid TOML"),
        ('a = """x\ny', "line 2, column 2: not valid TOML"),
        (b"a = '\xff'\n", "not UTF-8 text at byte 5"),
    ],
)
def test_invalid_toml_is_refused_with_its_place(write, text, expected):
    assert expected in message_of(write(text))


def test_an_unreadable_config_is_refused(tmp_path):
    assert "no such config file" in message_of(tmp_path / "absent.toml")
    assert "is a folder" in message_of(tmp_path)


def test_a_control_character_in_a_key_is_printed_as_an_escape(write):
    message = message_of(write('"\\u001b[31mred" = 1\n' + COMPLETE))
    assert "\x1b" not in message
    assert r"\x1b[31mred" in message


def test_a_bare_config_is_completed_with_every_default(write):
    found = resolved(read_study(write(COMPLETE)))
    assert found["data"] == {"kind": "source", "source": "faithful", "holdout": 0.0, "resample": "none"}
    assert found["model"] == {"family": "normal", "covariance": "full", "n_components": 2}
    em, sampler = found["methods"]
    assert (em["kind"], em["tol"], sampler["kind"], sampler["verdict"]) == ("em", 1e-6, "auto", True)
    own = {"chains", "warmup", "draws", "target_accept_prob", "pseudo_rows"}
    assert not own & set(sampler), "the method's own stays its own"
    assert "n_init" not in em, "a number would be exact, and the default is open-ended"


def test_the_chains_that_a_config_counts_with_are_the_fewest_there_may_be():
    assert {name: fewest_chains(name) for name in SAMPLERS} == {
        "auto": 4, "hmc": 8, "nuts": 4, "gibbs": 8, "laplace": 4, "bootstrap": 4
    }  # fmt: skip
    assert all(fewest_chains(name) * own.draws >= MIN_DRAWS_TO_COMPARE for name, own in SAMPLERS.items())


@pytest.mark.parametrize(
    ("sampler", "enough"),
    [
        ({"kind": "auto", "draws": 25}, True),
        ({"kind": "auto", "draws": 24}, False),
        ({"kind": "hmc", "draws": 13}, True),
        ({"kind": "hmc", "draws": 12}, False),
        ({"kind": "auto", "chains": 1}, True),
        ({"kind": "auto", "chains": 50, "draws": 2}, True),
    ],
)
def test_draws_are_counted_where_they_are_given(sampler, enough):
    tree = {"data": {"source": "faithful"}, "model": {"n_components": 2}, "methods": [sampler]}
    assert Study.model_validate(tree)
    with nullcontext() if enough else pytest.raises(ValueError, match="a verdict needs at least 100"):
        Study.model_validate({**tree, "methods": [{**sampler, "verdict": True}]})


@pytest.mark.parametrize(
    ("more", "task"),
    [
        ({}, "compare"),
        ({"methods": [{"kind": "em"}]}, "fit"),
        ({"methods": [{"kind": "map", "name": "MAP"}]}, "fit"),
        ({"methods": [{"kind": "hmc"}]}, "sample"),
        ({"methods": [{"kind": "map"}, {"kind": "hmc"}]}, "sample"),
        ({"methods": [{"kind": "hmc", "verdict": True}]}, "compare"),
        ({"methods": [{"kind": "hmc", "verdict": True}, {"kind": "map"}]}, "compare"),
        ({"methods": [{"kind": "em"}, {"kind": "hmc"}]}, None),
        ({"methods": [{"kind": "em"}], "levels": [0.5]}, None),
        ({"methods": [{"kind": "em"}, {"kind": "map"}]}, None),
        ({"methods": [{"kind": "sklearn"}]}, None),
        ({"methods": [{"kind": "em", "budget": {"evaluations": 500}}]}, None),
        ({"methods": [{"kind": "hmc", "keep_draws": True}]}, None),
        ({"sweep": {"replicates": 2}}, None),
        ({"sweep": {"grid": {"level": [0.5]}}}, None),
        ({"data": {"source": "faithful", "holdout": 0.1}}, None),
    ],
)
def test_one_cell_and_one_replicate_are_a_single_run(more, task):
    found = single_task(Study.model_validate({"data": {"source": "faithful"}, "model": {"n_components": 2}, **more}))
    assert (None if found is None else found.kind) == task


def test_a_comparison_needs_the_intervals_of_em(write):
    text = COMPLETE + EM + 'intervals = "none"\n' + SAMPLER.format("hmc")
    assert single_task(read_study(write(text))) is None, "a study, which judges nothing"
    with pytest.raises(ConfigError, match=r"methods.em: intervals = 'none' is for a fit or a sample"):
        single_task(read_study(write(text + "verdict = true\n")))


def test_exact_iterations_are_followed_from_one_start(write):
    text = COMPLETE + EM + "iterations = 7\n"
    (em,) = read_study(write(text)).methods
    assert em.fixed_n_init == 1
    job = em.of_job()
    assert (job["max_iter"], job["tol"], job["n_init"]) == (7, 0.0, 1)
    assert not {"iterations", "log_every"} & set(job)
    assert read_study(write(text + "n_init = 3\n")).methods[0].fixed_n_init == 3
    (default,) = read_study(write(COMPLETE + EM)).methods
    assert (default.fixed_n_init, default.of_job()["n_init"]) == (None, 20)


def test_the_resolved_config_says_the_same(write, tmp_path):
    study = read_study(write(COMPLETE + '[output]\ndir = "out"\n' + EM + "iterations = 7\n"))
    again = tmp_path / "elsewhere" / "config.toml"
    again.parent.mkdir()
    again.write_text(tomli_w.dumps(resolved(study)))
    assert resolved(read_study(again)) == resolved(study)
    assert "output" not in resolved(study)


def test_a_path_in_the_file_is_relative_to_the_file(write, tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = read_study(write(COMPLETE.replace("faithful", "x.csv") + '[output]\ndir = "out"\n'))
    assert study.data.source == str(tmp_path / "x.csv")
    assert study.output.dir == str(tmp_path / "out")


def test_a_path_is_kept_as_short_as_it_was_written(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    write(COMPLETE.replace("faithful", "x.csv"))
    study = read_study(f"{tmp_path.name}/config.toml")
    assert study.data.source == f"{tmp_path.name}/x.csv"
    assert resolved(study)["data"]["source"] == str(tmp_path / "x.csv")


@pytest.mark.parametrize("source", ["./faithful", "faithful.csv"])
def test_a_path_that_ends_like_a_bundled_name_stays_a_path(write, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    study = read_study(write(COMPLETE.replace("faithful", source)).name)
    assert study.data.source == source
    assert resolved(study)["data"]["source"] == str(tmp_path / source)


def test_a_path_in_an_override_is_relative_to_the_current_folder(write, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = read_study(write(COMPLETE), ["data.source=y.csv"])
    assert study.data.source == "y.csv"
    assert resolved(study)["data"]["source"] == str(tmp_path / "elsewhere" / "y.csv")


def test_a_bundled_name_stays_a_name_though_a_file_is_called_so(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faithful").write_text("a\n1\n")
    assert read_study(write(COMPLETE)).data.source == "faithful"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.n_components=3", 3),
        ("model.n_components = 3", 3),
        ("model.n_components=[1, 2]", [1, 2]),
        ("model.n_components=tied", "tied"),
        ('model.n_components="tied"', "tied"),
        ("model.n_components=1\nseed=2", "1\nseed=2"),
        ("model.n_components=", ""),
    ],
)
def test_an_override_is_read_as_toml_and_else_as_text(override, expected):
    tree = {"model": {"n_components": 2}}
    assert overridden(Declared(tree, "x"), [override]).tree["model"]["n_components"] == expected
    assert tree == {"model": {"n_components": 2}}


@pytest.mark.parametrize("override", ["seed", "=3", ".a=3", "model..x=1", "model.n_components.x=3"])
def test_an_override_that_cannot_be_set_is_refused(write, override):
    assert message_of(write(COMPLETE), [override]).startswith(f"--set {override}: ")


def test_an_override_reaches_methods_by_kind_and_can_add_a_table(write):
    study = read_study(write(COMPLETE), ["methods.auto.draws=200", "output.dir=out"])
    assert study.methods[1].draws == 200
    assert study.output.dir == "out"
    named = COMPLETE + EM + 'name = "a.b"\n' + SAMPLER.format("hmc") + 'name = "em"\n'
    study = read_study(write(named), ["methods.a.b.n_init=3", "methods.em.draws=7", "methods.hmc.chains=2"])
    assert (study.methods[0].n_init, study.methods[1].draws, study.methods[1].chains) == (3, 7, 2)


def test_an_option_is_called_by_its_name_on_the_command_line():
    declared = Declared({"data": {"source": "faithful"}, "model": {}}, "emjax fit")
    with pytest.raises(ConfigError, match=r"emjax fit: -k \(model.n_components\) is missing"):
        checked_study(declared, {"model.n_components": "-k"})


def test_a_config_cannot_be_changed(write):
    study = read_study(write(COMPLETE))
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 3


def test_numbers_per_component_are_one_feature(write):
    text = '[data]\nkind = "simulate"\nweights = [0.5, 0.5]\nmean = [0, 3]\ncovariance = [1, 2]\n'
    data = read_study(write(text + "[model]\nn_components = 2\n")).data
    assert data.mean == ((0.0,), (3.0,))
    assert data.covariance == (((1.0,),), ((2.0,),))


def test_windows_line_ends_are_read(write):
    assert read_study(write(COMPLETE.replace("\n", "\r\n"))).model.n_components == 2
    assert tomllib.loads(tomli_w.dumps(resolved(read_study(write(COMPLETE)))))


@pytest.mark.parametrize("value", [10**400, 10**5000, -1, 2**31, 1.5, True, float("nan"), float("inf")], ids="abcdefgh")
@pytest.mark.parametrize(
    "key",
    ["seed", "model.n_components", "em.n_init", "em.max_iter", "em.iterations", "em.log_every", "hmc.chains",
     "hmc.warmup", "hmc.draws", "data.n_samples", "data.seed"],
)  # fmt: skip
def test_numbers_out_of_bounds_are_named_with_their_key(key, value):
    data = {"kind": "simulate", "weights": [1.0], "mean": [0.0], "scale": [1.0]}
    em, hmc = {"kind": "em"}, {"kind": "hmc"}
    tree = {"data": data, "model": {"n_components": 1}, "methods": [em, hmc]}
    section, _, name = key.rpartition(".")
    {**tree, "em": em, "hmc": hmc, "": tree}[section][name] = value
    if (key, value) in (("seed", 2**31), ("data.seed", 2**31)):
        assert checked_study(Declared(tree, "x"))
        return
    with pytest.raises(ConfigError) as caught:
        checked_study(Declared(tree, "x"))
    place = {"em": "methods[0].", "hmc": "methods[1].", "": ""}.get(section, f"{section}.")
    assert str(caught.value).startswith(f"x: {place}{name} = ")
    assert len(str(caught.value)) < 400
