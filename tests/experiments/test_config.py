"""A config is refused in one line that names the key and the way out, or it is complete."""

import tomllib
from pathlib import Path

import pytest
import tomli_w

from emjax.catalogue import SAMPLERS, fewest_chains
from emjax.errors import ConfigError
from emjax.experiments.config.reading import Declared, overridden
from emjax.experiments.config.settings import build_config, load_config
from emjax.experiments.config.single import MIN_DRAWS_TO_COMPARE, Config

COMPLETE = '[data]\nsource = "faithful"\n[model]\nn_components = 2\n'


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def message_of(path: Path, overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
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
        (COMPLETE + "[mcmc]\nwarm-up = 3\n", "'mcmc.warm-up'; did you mean 'mcmc.warmup'?"),
        (COMPLETE + "chains = 3\n", "unknown key 'model.chains'; did you mean 'mcmc.chains'?"),
        ("[modle]\nn_components = 2\n" + COMPLETE, "unknown key 'modle'; did you mean 'model'?"),
        ("zzzz = 1\n" + COMPLETE, "allowed: task, seed, precision, data, model, em, mcmc, compare, output"),
        (
            COMPLETE + 'family = "norml"\n',
            "model.family = 'norml' is not allowed; use one of normal, student_t, poisson",
        ),
        (COMPLETE + 'family = "poisson"\ncovariance = "full"\n', "'poisson' has none"),
        (COMPLETE + 'prior = "none"\n', "model.prior = 'none' leaves task 'compare' without a posterior"),
        (COMPLETE + '[mcmc]\nmethod = "nutz"\n', "use one of auto, hmc, nuts, gibbs, laplace (did you mean 'nuts'?)"),
        (COMPLETE + '[mcmc]\nmethod = "nuts"\ndtype = "float32"\n', "nuts works in float64 only"),
        (COMPLETE + '[mcmc]\nmethod = "gibbs"\ntarget_accept_prob = 0.9\n', "gibbs tunes no steps"),
        (COMPLETE + '[mcmc]\nmethod = "laplace"\nwarmup = 9\n', "draws of laplace are independent"),
        (COMPLETE + "[mcmc]\ntarget_accept_prob = 1.0\n", "mcmc.target_accept_prob = 1.0 is not allowed"),
        (COMPLETE + "[mcmc]\nchains = 1\ndraws = 50\n", "mcmc.chains x mcmc.draws = 50: compare needs at least 100"),
        (COMPLETE.replace("= 2", "= 0"), "model.n_components = 0 is not allowed; it should be greater"),
        (COMPLETE.replace("= 2", "= true"), "model.n_components = True is not allowed"),
        (COMPLETE.replace("= 2", '= "2"'), "model.n_components = '2' is not allowed"),
        (COMPLETE.replace("= 2", "= 2.5"), "model.n_components = 2.5 is not allowed"),
        ("seed = -1\n" + COMPLETE, "seed = -1 is not allowed"),
        (COMPLETE + "[em]\ntol = inf\n", "em.tol = inf is not allowed"),
        (
            COMPLETE + "[compare]\nlevel = 1.0\n",
            "compare.level = 1.0 is not allowed; it should be less than 1",
        ),
        (COMPLETE + "[compare]\nlevel = 90\n[em]\ntol = -1\nn_init = 0\n", "(and 2 more errors)"),
        ('data = "faithful"\n[model]\nn_components = 2\n', "data = 'faithful' is not a table"),
        ('[data]\nsource = "faithful"\n', "model is missing: add [model] n_components = K"),
        ("[model]\nn_components = 2\n", "data is missing: say which data"),
        ("[data]\n[model]\nn_components = 2\n", "data.source is missing: a bundled name"),
        ('[data]\nsource = "a.csv"\ncolumns = "a"\n[model]\nn_components = 2\n', "data.columns = 'a'"),
        ('[data]\nsource = "a.csv"\ncolumns = ["a", "a"]\n[model]\nn_components = 2\n', "named twice"),
        ('[data]\nkind = "simulated"\n[model]\nn_components = 2\n', "use one of source, simulate"),
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
        ('family = "gamma"\nweights = [1]\nrate = [1]\nshape = [[1, 2]]', "rate has 1 features and shape has 2"),
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
    resolved = load_config(write(COMPLETE)).resolved()
    assert resolved["task"] == "compare"
    assert resolved["data"] == {"kind": "source", "source": "faithful"}
    assert resolved["model"] == {
        "family": "normal", "covariance": "full", "n_components": 2, "prior": "default"
    }  # fmt: skip
    assert resolved["mcmc"] == {"method": "auto", "dtype": "float64"}, "what is the method's own stays the method's"
    assert "n_init" not in resolved["em"], "a number would be exact, and the default is open-ended"


def test_settings_of_the_sampler_are_kept_as_they_were_given(write):
    given = 'method = "hmc"\nchains = 3\nwarmup = 0\ndraws = 40\ntarget_accept_prob = 0.95\ndtype = "float32"\n'
    resolved = load_config(write(COMPLETE + "[mcmc]\n" + given)).resolved()
    assert resolved["mcmc"] == tomllib.loads(given)


def test_the_chains_that_a_config_counts_with_are_the_fewest_there_may_be():
    assert {name: fewest_chains(name) for name in SAMPLERS} == {
        "auto": 4, "hmc": 8, "nuts": 4, "gibbs": 8, "laplace": 4
    }  # fmt: skip
    assert all(fewest_chains(name) * own.draws >= MIN_DRAWS_TO_COMPARE for name, own in SAMPLERS.items())


@pytest.mark.parametrize(
    ("mcmc", "enough"),
    [
        ("draws = 25", True),
        ("draws = 24", False),
        ('method = "hmc"\ndraws = 13', True),
        ('method = "hmc"\ndraws = 12', False),
        ("chains = 1", True),
        ("chains = 50\ndraws = 2", True),
    ],
)
def test_draws_are_counted_where_they_are_given(write, mcmc, enough):
    text = COMPLETE + f"[mcmc]\n{mcmc}\n"
    if enough:
        load_config(write(text))
    else:
        assert "compare needs at least 100" in message_of(write(text))
    assert load_config(write('task = "sample"\n' + text)).mcmc is not None


@pytest.mark.parametrize(("task", "prior"), [("fit", "none"), ("sample", "default"), ("compare", "default")])
def test_the_prior_in_force_follows_the_task(write, task, prior):
    config = load_config(write(f'task = "{task}"\n' + COMPLETE))
    assert config.prior == prior
    assert config.resolved()["model"]["prior"] == prior


def test_exact_iterations_are_followed_from_one_start(write):
    config = load_config(write(COMPLETE + "[em]\niterations = 7\n"))
    assert config.n_init == 1
    assert load_config(write(COMPLETE + "[em]\niterations = 7\nn_init = 3\n")).n_init == 3


def test_the_resolved_config_says_the_same(write, tmp_path):
    config = load_config(write(COMPLETE + '[em]\niterations = 7\n[output]\ndir = "out"\n'))
    again = tmp_path / "elsewhere" / "config.toml"
    again.parent.mkdir()
    again.write_text(tomli_w.dumps(config.resolved()))
    assert load_config(again).resolved() == config.resolved()
    assert "output" not in config.resolved()


def test_a_path_in_the_file_is_relative_to_the_file(write, tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(write(COMPLETE.replace("faithful", "x.csv") + '[output]\ndir = "out"\n'))
    assert config.data.source == str(tmp_path / "x.csv")
    assert config.output.dir == str(tmp_path / "out")


def test_a_path_is_kept_as_short_as_it_was_written(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    write(COMPLETE.replace("faithful", "x.csv"))
    config = load_config(f"{tmp_path.name}/config.toml")
    assert config.data.source == f"{tmp_path.name}/x.csv"
    assert config.resolved()["data"]["source"] == str(tmp_path / "x.csv")


@pytest.mark.parametrize("source", ["./faithful", "faithful.csv"])
def test_a_path_that_ends_like_a_bundled_name_stays_a_path(write, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    config = load_config(write(COMPLETE.replace("faithful", source)).name)
    assert config.data.source == source
    assert config.resolved()["data"]["source"] == str(tmp_path / source)


def test_a_path_in_an_override_is_relative_to_the_current_folder(write, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(write(COMPLETE), ["data.source=y.csv"])
    assert config.data.source == "y.csv"
    assert config.resolved()["data"]["source"] == str(tmp_path / "elsewhere" / "y.csv")


def test_a_bundled_name_stays_a_name_though_a_file_is_called_so(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faithful").write_text("a\n1\n")
    assert load_config(write(COMPLETE)).data.source == "faithful"


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


def test_an_override_can_add_a_table():
    assert overridden(Declared({}, "x"), ["mcmc.draws=10"]).tree == {"mcmc": {"draws": 10}}


def test_an_option_is_called_by_its_name_on_the_command_line():
    with pytest.raises(ConfigError, match=r"emjax fit: -k \(model.n_components\) is missing"):
        build_config(
            {"data": {"source": "faithful"}, "model": {}},
            place="emjax fit",
            display={"model.n_components": "-k"},
        )


def test_a_config_cannot_be_changed(write):
    config = load_config(write(COMPLETE))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_numbers_per_component_are_one_feature(write):
    text = '[data]\nkind = "simulate"\nweights = [0.5, 0.5]\nmean = [0, 3]\ncovariance = [1, 2]\n'
    data = load_config(write(text + "[model]\nn_components = 2\n")).data
    assert data.mean == ((0.0,), (3.0,))
    assert data.covariance == (((1.0,),), ((2.0,),))


def test_the_schema_closes_every_table():
    schema = Config.model_json_schema()
    assert set(schema["properties"]) == {
        "task", "seed", "precision", "data", "model", "em", "mcmc", "compare", "output"
    }  # fmt: skip
    tables = [table for table in [schema, *schema["$defs"].values()] if "properties" in table]
    assert len(tables) > len(schema["properties"]) - 3
    # Any parameter may be given a law, and any law's numbers are its own.
    further = {table["title"]: table["additionalProperties"] for table in tables}
    assert further.pop("PriorTable") == {"$ref": "#/$defs/LawTable"}
    assert "number" in str(further.pop("LawTable"))
    assert set(further.values()) == {False}


def test_windows_line_ends_are_read(write):
    assert load_config(write(COMPLETE.replace("\n", "\r\n"))).model.n_components == 2
    assert tomllib.loads(tomli_w.dumps(load_config(write(COMPLETE)).resolved()))


@pytest.mark.parametrize("value", [10**400, 10**5000, -1, 2**31, 1.5, True, float("nan"), float("inf")], ids="abcdefgh")
@pytest.mark.parametrize(
    "key",
    ["seed", "model.n_components", "em.n_init", "em.max_iter", "em.iterations", "em.log_every", "mcmc.chains",
     "mcmc.warmup", "mcmc.draws", "data.n_samples", "data.seed"],
)  # fmt: skip
def test_numbers_out_of_bounds_are_named_with_their_key(key, value):
    data = {"kind": "simulate", "weights": [1.0], "mean": [0.0], "scale": [1.0]}
    tree = {"data": data, "model": {"n_components": 1}, "em": {}, "mcmc": {}}
    section, _, name = key.rpartition(".")
    (tree[section] if section else tree)[name] = value
    if (key, value) in (("seed", 2**31), ("data.seed", 2**31)):
        assert build_config(tree, place="x")
        return
    with pytest.raises(ConfigError) as caught:
        build_config(tree, place="x")
    assert str(caught.value).startswith(f"x: {key} = ")
    assert len(str(caught.value)) < 400
