"""Which settings become axes and panels, and what is claimed in words."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from synthetic_study import METHODS, VERDICTS, declaration, declare, draw_rows, shown, view_of

from emjax.experiments.config.parts import GeneratorData, OwnMeasure, Words
from emjax.experiments.config.schema import Study
from emjax.experiments.pages.build import _declared
from emjax.experiments.pages.curves import curve_pictures, fitted
from emjax.experiments.pages.frontier import unbeaten
from emjax.experiments.pages.lanes import best_axes, lanes
from emjax.experiments.summary.findings import alerts, find
from emjax.experiments.summary.tables import main_table
from emjax.experiments.summary.verdicts import cell_verdicts
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import value_text


def bare(*settings: dict, study: Study | None = None) -> StudyView:
    """A study of cells without rows."""
    study = study or declare({}, 1)
    cells = [{"index": place, "key": f"{place:012x}", "settings": own} for place, own in enumerate(settings)]
    return shown(study, {"cells": cells, "jobs": []}, draw_rows(study, declaration(study)).head(0))


def crossed(**axes: tuple) -> StudyView:
    settings: list[dict] = [{}]
    for key, values in axes.items():
        settings = [{**cell, key.replace("__", "."): value} for cell in settings for value in values]
    return bare(*settings)


def test_numbers_run_along_and_names_make_panels():
    view = crossed(model__covariance=("full", "diag"), data__n_samples=(1000, 100, 300))
    (axis,) = best_axes(view)
    layout = lanes(view, axis)
    assert (axis.key, axis.values, axis.logarithmic) == ("data.n_samples", (100, 300, 1000), True)
    assert [panel.title for panel in layout.panels] == ["covariance = full", "covariance = diag"]
    assert [cell.settings["data.n_samples"] for cell in layout.panels[0].cells] == [100, 300, 1000]


def test_settings_in_step_make_no_panels():
    view = bare({"data.n_samples": 100, "methods.em.n_init": 5}, {"data.n_samples": 200, "methods.em.n_init": 9})
    (axis,) = best_axes(view)
    layout = lanes(view, axis)
    assert (axis.key, len(layout.panels), len(layout.panels[0].cells)) == ("data.n_samples", 1, 2)


def test_settings_that_are_drawn_together_have_a_figure_each():
    """No two points of a design differ in one setting alone, so none makes panels and no curve joins them."""
    design = {"data.n_samples": (100, 1000), "data.overlap": (0.05, 0.2)}
    study = declare({}, 1)
    study = study.model_copy(update={"sweep": study.sweep.model_copy(update={"ranges": design})})
    points = [{"data.n_samples": n, "data.overlap": overlap} for n, overlap in ((200, 0.1), (900, 0.06), (500, 0.2))]
    view = bare(*points, study=study)
    assert [axis.label for axis in best_axes(view)] == ["n_samples", "overlap"]
    layout = lanes(view, view.axes[0])
    assert [cell.settings["data.n_samples"] for cell in layout.panels[0].cells] == [200, 500, 900]
    assert (len(layout.panels), layout.note) == (1, "From point to point overlap varies too.")


def test_what_is_not_drawn_is_said():
    view = crossed(data__n_samples=(1, 2, 3, 4, 5, 6), data__overlap=(0.1, 0.2, 0.3, 0.4, 0.5), level=(0.8, 0.9))
    first, second = best_axes(view)
    layout = lanes(view, first)
    assert [panel.title.split()[-1] for panel in layout.panels] == ["0.1", "0.2", "0.4", "0.5"]
    assert all(cell.settings["level"] == 0.8 for panel in layout.panels for cell in panel.cells)
    assert "Of 5 values of overlap, 4 are drawn" in layout.note
    assert "level = 0.8" in layout.note
    assert second.key == "data.overlap"


def test_labels_stay_unambiguous():
    view = crossed(data__seed=(1, 2), model__seed=(1, 2))
    assert [axis.label for axis in view.axes] == ["data.seed", "model.seed"]
    assert [value_text(value) for value in (True, 1000, 0.1, 1e-7, "x", [[1, 2]])] == [
        "yes", "1,000", "0.1", "1e−07", "x", "[[1, 2]]",
    ]  # fmt: skip
    # Keys of ours by their initials, names that the user has given as they are.
    assert value_text({"kind": "student_t", "degrees_of_freedom": 5.0}) == "student_t dof=5"
    assert value_text({"n_rows": 60, "sep": 2.0}) == "n_rows=60 sep=2"


def test_what_all_cells_share_leaves_out_what_is_swept():
    study = declare({"data.weights": ([0.3, 0.7], [0.5, 0.5])}, 1)
    own = study.model_copy(update={"data": GeneratorData(generator="g.py", arguments={"n": 60, "sep": 2.0})})
    view = SimpleNamespace(study=own, axes=[SimpleNamespace(key="data.arguments.sep")])
    assert ("Data", "arguments = n=60, kind = generator, generator = g.py") in _declared(view)
    view.axes.append(SimpleNamespace(key="data.arguments.n"))
    assert ("Data", "kind = generator, generator = g.py") in _declared(view)


def test_one_hash_is_not_said_of_several_data():
    data = {"kind": "source", "source": "faithful", "sha256": "abc"}
    study = declare({}, 1)
    for swept, said in {"data.holdout": "abc", "data.source": ""}.items():
        cells = [
            {"index": place, "key": f"{place:012x}", "settings": {swept: value}} for place, value in enumerate("ab")
        ]
        declared = {"cells": cells, "jobs": [{"key": "0"}]}
        view = shown(study, declared, draw_rows(study, declaration(study)).head(0), done=["0"])
        view.archive.record = lambda _: {"spec": {"data": data}, "provenance": {}}
        assert dict(view.provenance).get("SHA-256 of the data", "") == said
        assert view._hash_of({"kind": "generator", "sha256": "d"})[0] == "SHA-256 of the file that makes the data"


def test_a_number_of_ones_own_without_words_has_a_caption_all_the_same():
    view = view_of(declare({"data.overlap": (0.05, 0.4)}, 12))
    rows = view.rows[view.rows["quantity"] == "ari"].assign(quantity="gap")
    view = view_of(view.study.model_copy(update={"answered_by": "gap"}), pd.concat([view.rows, rows]))
    captions = {picture.name: picture.caption for picture in curve_pictures(view)}
    assert captions["gap"].startswith("Bands and bars: 95%")
    assert captions["ari"].startswith("Adjusted Rand index")


def test_words_of_a_number_of_emjax_s_own_take_nothing_from_it():
    view = view_of(declare({"data.overlap": (0.05, 0.4)}, 12))
    measure = OwnMeasure(file="m.py", words={"coverage": Words(title="Held"), "gap": Words(title="Gap")})
    told = view_of(view.study.model_copy(update={"measures": (measure,)}), view.rows)
    assert told.measures["coverage"] == view.measures["coverage"]
    assert told.measures["gap"].short == "Gap"


def test_unbeaten_is_decided_cell_by_cell():
    points = pd.DataFrame({"cell": list("aaabb"), "seconds": [1, 2, 3, 9, 10], "value": [0.5, 0.6, 0.1, 0.05, 0.05]})
    assert unbeaten(points, -1).tolist() == [True, False, True, True, False]
    assert unbeaten(points, 1).tolist() == [True, True, False, True, False]


def found(view):
    return find(view, cell_verdicts(view))


def test_the_first_sentence_names_the_worst_coverage_in_numbers():
    answer = found(view_of(declare({"data.overlap": (0.05, 0.4)}, 100, answered_by="coverage"))).answer
    assert answer.startswith("em's 90% intervals cover 7")
    assert "at overlap = 0.4" in answer
    assert "in 1 of 2 cells" in answer


def verdicts_of(overlap: tuple[float, ...], **given: list[int]) -> tuple[str, ...]:
    """The sentences of a study whose 20 verdicts in each cell are given as counts, in the order of `VERDICTS`."""
    study = declare({"data.overlap": overlap}, 20)
    rows = draw_rows(study, declaration(study))
    said = rows["quantity"] == "verdict"
    for cell, counts in given.items():
        names = [name for name, n in zip(VERDICTS, counts, strict=True) for _ in range(n)]
        rows.loc[said & (rows["cell"] == f"{int(cell[1:]):012x}"), "parameter"] = names
    sentences = found(view_of(study, rows))
    return sentences.answer, *sentences.further


def test_where_a_verdict_is_recorded_the_answer_is_where_em_is_enough():
    answer, *_ = verdicts_of((0.01, 0.1, 0.4), c0=[20, 0, 0, 0], c1=[10, 9, 0, 1], c2=[2, 2, 10, 6])
    assert answer == (
        "By the verdict EM is enough in at least 90% of the data sets up to overlap = 0.1; least often at overlap = "
        "0.4: in 20% (MCMC is needed in 50%, inconclusive 30%)."
    )
    answer, *_ = verdicts_of((0.01, 0.4), c0=[10, 0, 0, 10], c1=[0, 1, 0, 19])
    assert answer == (
        "By the verdict there is no cell in which EM is enough for 90% of the data sets; most often it is at overlap = "
        "0.01: in 50% (MCMC is needed in 0%, inconclusive 50%); least often at overlap = 0.4: in 5% (MCMC is needed in "
        "0%, inconclusive 95%)."
    )
    answer, *_ = verdicts_of((0.4,), c0=[1, 1, 1, 17])
    assert answer == "By the verdict EM is enough in 10% (MCMC is needed in 5%, inconclusive 85%)."


def test_three_verdicts_make_no_nine_tenths():
    answer = found(view_of(declare({"data.n_samples": (100, 1000)}, 3))).answer
    assert "%" not in answer
    assert "3 comparisons" in answer


def test_the_answer_is_about_what_the_study_asks_for():
    study = {"data.overlap": (0.05, 0.4)}
    assert "RMSE of mean" in found(view_of(declare(study, 100, answered_by="rmse"))).answer
    answer = found(view_of(declare(study, 100, answered_by="ari"))).answer
    assert answer.startswith("ARI: 0.9000 at overlap = 0.05 to 0.2000 at overlap = 0.4 (em); ")
    names = [
        picture.name for view in [view_of(declare(study, 12, answered_by="ari"))] for picture in curve_pictures(view)
    ]
    assert "ari" in names, "and so is a figure"


def test_nobody_speaks_for_a_method_that_is_mostly_not_trusted():
    study = declare({"data.overlap": (0.4,)}, 20, answered_by="coverage")
    rows = draw_rows(study, declaration(study), untrusted=0.0)
    lost = (rows["quantity"] == "trusted") & (rows["method"] == "hmc") & (rows["replicate"] >= 2)
    rows.loc[lost, "value"] = 0.0
    sentences = found(view_of(study, rows))
    about = [text for text in (sentences.answer, *sentences.further) if "hmc" in text]
    assert about[-1] == "Nothing is said of hmc: 2 of 20 outcomes can be trusted there."
    assert not any("interval" in text or "RMSE" in text or "loss" in text for text in about)


def test_names_below_an_axis_stay_apart():
    assert fitted(["uniform", "student_t dof=30", "student_t dof=5"], 12) == [
        "uniform", "student_t\ndof=30", "student_t\ndof=5",
    ]  # fmt: skip
    long = fitted([f"{'x' * 40}{place}{'y' * 40}" for place in range(3)], 9)
    assert len(set(long)) == 3
    assert all(len(name) <= 12 for name in long)


def test_equal_methods_are_not_told_apart():
    methods = ({"kind": "map", "name": "A"}, {"kind": "map", "name": "B"})
    sentences = found(view_of(declare({"data.n_samples": (100, 1000)}, 60, methods)))
    text = " ".join((sentences.answer, *sentences.further))
    assert "do not differ in RMSE of mean in any of 2 cells beyond Monte-Carlo error" in text
    assert "A's and B's intervals do not fall short of their level in any cell" in text


def test_a_clear_difference_is_claimed_with_both_numbers():
    study = declare({"data.n_samples": (100,)}, 60)
    rows = draw_rows(study, declaration(study))
    worse = (rows["method"] != "hmc") & rows["quantity"].isin(["error"])
    rows.loc[worse, "value"] *= 5
    text = " ".join(found(view_of(study, rows)).further)
    assert "hmc has the smallest RMSE of mean: 0." in text
    assert "against" in text
    assert "of em" in text or "of MAP" in text


def test_few_replicates_claim_nothing():
    sentences = found(view_of(declare({"data.n_samples": (100, 1000)}, 3)))
    text = " ".join((sentences.answer, *sentences.further))
    assert "3 replicates per cell cannot tell the methods apart" in text
    assert "has the smallest" not in text


def test_what_cannot_be_trusted_comes_first_with_counts():
    view = view_of(declare({"data.n_samples": (100, 1000)}, 60), failed=2, lost=1)
    titles = [title for title, _ in found(view).alerts]
    assert titles[:2] == ["2 jobs of 12 failed", "1 job of 12 is not done"]
    bad = int((~view.outcomes["trusted"]).sum())
    assert titles[2] == f"{bad} outcomes of {len(view.outcomes)} cannot be trusted"


def test_an_answer_that_nobody_has_measured_is_said():
    study = declare({"data.n_samples": (100, 1000)}, 12)
    for asked, said in {"gap": ["gap was not measured"], "rmse": [], "verdict": []}.items():
        titles = [title for title, _ in found(view_of(study.model_copy(update={"answered_by": asked}))).alerts]
        assert [title for title in titles if "measured" in title] == said


def test_numbers_of_ones_own_that_were_nan_are_counted():
    """A page, and the terminal's table, begin with what they are about."""
    view = view_of(declare({}, 20))
    gap = view.rows[(view.rows["quantity"] == "ari") & (view.rows["method"] != "MAP")].assign(quantity="gap")
    nan = gap["replicate"] < 5
    gap = gap.assign(quantity=np.where(nan, "not_measured", "gap"), parameter=np.where(nan, "gap", ""), value=1.0)
    measure = OwnMeasure(file="m.py", words={"gap": Words(title="Gap of the means")})
    study = view.study.model_copy(update={"measures": (measure,), "answered_by": "gap"})
    view = view_of(study, pd.concat([view.rows, gap]))
    what, text = alerts(view)[-1]
    assert what == "Gap of the means is not a number (NaN) in 10 outcomes"
    assert text == "em 5 of 19; hmc 5 of 20. Whatever is shown of it rests on the others."
    assert "not_measured" not in view.measures
    assert main_table(view).header[2].name == "Gap of the means"


@pytest.mark.parametrize("methods", [METHODS, METHODS[1:]])
def test_verdicts_are_right_where_em_was_good_enough(methods):
    study = declare({"data.overlap": (0.01, 0.4), "data.n_samples": (3000, 100)}, 80, methods)
    records = cell_verdicts(view_of(study))
    assert [record.n for record in records] == [80] * 4
    if len(methods) == 2:  # without EM nobody knows what is right
        assert {(record.em_good_enough, record.n_right, record.n_wrong) for record in records} == {(None, 0, 0)}
        return
    assert [record.em_good_enough for record in records] == [True, True, False, False]
    for record in records:
        enough = record.em_sufficient + record.em_with_intervals
        assert record.n_right == (enough if record.em_good_enough else record.mcmc_needed)
        assert record.n_right + record.n_wrong + record.inconclusive == 80


def test_numbers_of_few_trusted_outcomes_are_marked():
    study = declare({"data.n_samples": (100, 1000)}, 40, METHODS[:1])
    rows = draw_rows(study, declaration(study), untrusted=0.0)
    lost = (rows["quantity"] == "trusted") & (rows["cell"] == "000000000001") & (rows["replicate"] < 3)
    rows.loc[lost, "value"] = 0.0
    view = view_of(study, rows)
    assert view.doubtful == {("000000000001", "em")}
    (drawn,) = [picture for picture in curve_pictures(view) if picture.name == "coverage"]
    assert "Hollow: of trusted outcomes, which are fewer than 95%" in drawn.caption
