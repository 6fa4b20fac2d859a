"""A run that is ended early keeps the stages that it had done, and the same command goes on from them."""

import importlib
import json

import pytest

from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import store
from emjax.experiments.archive.listing import list_runs
from emjax.experiments.archive.single import open_single_run
from emjax.experiments.config.schema import Study
from emjax.experiments.execution import single as runner

SETTINGS = {
    "data": {"source": "faithful", "columns": ["eruptions"]},
    "model": {"n_components": 1},
}
EM = {"kind": "em", "n_init": 2, "accelerate": "none"}
SAMPLER = {"kind": "laplace", "draws": 100}
COMPARED = [EM, {**SAMPLER, "verdict": True, "loo": False}]
SAMPLED = [{**EM, "kind": "map"}, SAMPLER]

PROGRAMS = {
    stage: importlib.import_module(module)
    for stage, module in {"fit": "emjax.em.fit", "sample": "emjax.bayes.sample", "compare": "emjax.comparison"}.items()
}
"""Where what each stage runs is looked up when it begins."""


def config(methods=COMPARED, **changes):
    return Study.model_validate({**SETTINGS, "methods": methods, **changes})


def interrupt(*arguments, **more):
    raise KeyboardInterrupt


def end_in(monkeypatch, stage, **changes):
    declared = config(**changes)
    with monkeypatch.context() as patch:
        patch.setattr(PROGRAMS[stage], stage, interrupt)
        with pytest.raises(KeyboardInterrupt):
            runner.run(declared)


def numbers(folder):
    run = open_single_run(folder)
    return run.numbers().to_csv(), run.posterior.params.weights.tobytes()


def test_a_run_goes_on_from_what_it_had_done_with_the_same_numbers(workplace, monkeypatch):
    monkeypatch.setattr("emjax.report.page.render_report", lambda *arguments, **more: "a page")
    whole = runner.run(config(output={"dir": "whole"})).folder
    end_in(monkeypatch, "fit")
    assert not (workplace / "runs").exists(), "nothing was done"
    end_in(monkeypatch, "sample")
    assert [run["status"] for run in list_runs("runs")] == ["unfinished: EM done"]
    end_in(monkeypatch, "compare")
    folder = workplace / "runs" / "faithful-k1"
    assert [path.name for path in folder.parent.iterdir()] == ["faithful-k1"]
    assert store.interrupted().startswith("interrupted; ")
    assert [run["status"] for run in list_runs("runs")] == ["unfinished: EM and sampling done"]
    for name in ("em.json", "posterior.json", "posterior.nc"):
        assert (folder / name).is_file()
    assert json.loads((folder / "em.json").read_text())["mle"]["intervals"]["status"] == "left_out"
    with pytest.raises(ConfigError, match=r"unfinished: EM and sampling done; go on with: emjax run .*config\.toml"):
        open_single_run(folder)
    with pytest.raises(RunExistsError, match="an unfinished run of other settings"):
        runner.run(config(seed=1, output={"dir": str(folder)}))
    with monkeypatch.context() as patch:
        patch.setattr(PROGRAMS["fit"], "fit", interrupt)
        patch.setattr(PROGRAMS["sample"], "sample", interrupt)
        again = runner.run(config()).folder
    assert again.resolve() == folder
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert numbers(folder) == numbers(whole)


def test_what_a_killed_process_has_left_gets_its_name_when_the_next_run_looks(workplace, monkeypatch):
    end_in(monkeypatch, "sample", methods=SAMPLED)
    folder = workplace / "runs" / "faithful-k1-sample"
    hidden = store.atomic.partial_name(folder)
    folder.rename(hidden)
    (hidden / "objects.json").write_text("{")
    result = runner.run(config(methods=SAMPLED))
    assert result.folder.resolve() == folder, "damaged, so all was done anew"
    assert result.posterior is not None
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
