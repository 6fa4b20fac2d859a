"""One run from a config to its folder: data, EM, MCMC, comparison, files."""

import functools
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import jax

from emjax import clock
from emjax.catalogue import DEFAULT_INTERVALS, OF_COMPARISONS, SAMPLERS
from emjax.clock import unwatched
from emjax.datasets.readers import STANDARD_INPUT
from emjax.em.fit import Progress
from emjax.environment import describe_run
from emjax.errors import ConfigError, EmjaxError
from emjax.experiments.archive.assignments import write_assignments
from emjax.experiments.archive.documents import fit_document, parameter_line, posterior_document
from emjax.experiments.archive.door import read_json
from emjax.experiments.archive.held import DATA, FILE, TREE, read_objects, written_objects
from emjax.experiments.archive.single import (
    CONFIG,
    ENVIRONMENT,
    PAGE,
    SingleRun,
    open_single_run,
)
from emjax.experiments.archive.store import RunFolder, run_folder
from emjax.experiments.config.data import ProgramData
from emjax.experiments.config.methods import SamplerMethod
from emjax.experiments.config.mixtures import mixture_for, mixture_of, resolved_model
from emjax.experiments.config.programs import ProgramModel
from emjax.experiments.config.schema import Study, Task, comparable, resolved, single_task
from emjax.experiments.execution.listener import Bars, ChainBars, Listener
from emjax.experiments.work.loading import columns_of, data_name, load_data, stem_of
from emjax.experiments.work.methods.shared import fit_arguments, sample_arguments
from emjax.files import sha256_of
from emjax.jsonable import digest
from emjax.plain import UnknownTypeError
from emjax.samples import Samples, as_samples
from emjax.uncertainty.information import left_out
from emjax.uncertainty.resampling import SCHEMES

_STAGES = {"fit": "EM", "posterior": "sampling"}
"""What is kept of a run that is ended early, in the order of its stages."""

MODES = "modes"
"""The stage of a run before its chains move: nobody knows yet how many there will be."""


def run(study: Study, *, listener: Listener | None = None, overwrite: bool = False) -> SingleRun:
    """Run a study that is a single run (`single_task`), write its folder and return it opened.

    One that fails or is interrupted leaves the stages behind that it had done, EM and sampling, and the same config
    goes on from there, with the same numbers in the end. See `archive.store` for the folder's name and
    ``overwrite``.

    Raises DataError for data that cannot be used, RunExistsError when the folder is there, ConfigError for a study that
    is more than a single run.
    """
    task = single_task(study)
    if task is None:
        raise ConfigError("run: this is a study of more than one run: use run_study, or `emjax run CONFIG.toml`")
    work = _Run(study, task, listener or Listener())
    suffix = "" if task.kind == "compare" else f"-{task.kind}"
    default = f"{_called(study, task)}{suffix}"
    with run_folder(study.output.dir, default=default, overwrite=overwrite, key=work.identity()) as folder:
        work.fill(folder)
        path = folder.publish()
    return open_single_run(path).holding(work.dataset, work.done)


def _called(study: Study, task: Task) -> str:
    """What a run is called where nobody says: by its data and its model."""
    model = study.model
    if not isinstance(model, ProgramModel):
        return f"{data_name(task.data)}-k{model.n_components}"
    program = stem_of(model.program)
    return program if isinstance(task.data, ProgramData) else f"{data_name(task.data)}-{program}"


class _Run:
    """The parts of a run share the config, the data and where progress is shown; ``done`` has what they came to."""

    def __init__(self, study: Study, task: Task, listener: Listener) -> None:
        self.study = study
        self.task = task
        self.em = task.em
        self.listener = listener
        self.started = clock.now()
        if isinstance(study.model, ProgramModel):
            _ = self._resolved  # what is no program is refused before its data
        self.dataset = load_data(task.data, study.model)
        self.samples = self._samples()
        self.done: dict[str, Any] = {"fit": None, "posterior": None, "comparison": None}

    def identity(self) -> str:
        """What the numbers of the run depend on, as a hash."""
        found = self._described
        parts = {name: found[name] for name in ("versions", "machine", "devices")}
        return digest([comparable(self.study), found["data"]["sha256"], parts], 16)

    def fill(self, folder: RunFolder) -> None:
        """Do what is not done yet, and write all files of the run."""
        done, kind = self.done, self.task.kind
        folder.write(CONFIG, self._settings(folder))
        if folder.begun:
            self._take_up(folder)
        with self.listener.bars(self.em.log_every == 0) as bars:
            if done["fit"] is None:
                if kind != "fit":
                    self._begin_compiling()
                done["fit"] = self._em(bars)
                if kind != "fit":
                    self._keep(folder)
            if done["posterior"] is None and kind != "fit":
                with _beside(self._build_ahead if kind == "compare" else None):
                    done["posterior"] = self._mcmc(bars)
                self._keep(folder)
            if kind == "compare":
                self._compare(folder, bars)
        if kind == "fit":
            self._finish_fit(folder)
        elif kind == "sample":
            self._write_fit(folder, self._intervals(done["fit"]))

    def _take_up(self, folder: RunFolder) -> None:
        """The fit and the posterior that an earlier run has left, as far as they are whole."""
        with suppress(ConfigError):
            environment = read_json(folder.partial / ENVIRONMENT)
            is_program = isinstance(self.study.model, ProgramModel)
            program = mixture_of(self._resolved, with_prior=True) if is_program else None
            self.done |= read_objects(folder.partial, environment, self.dataset, program)
            done = " and ".join(name for stage, name in _STAGES.items() if self.done[stage] is not None)
            self.listener.note(f"{folder.target} is unfinished; going on after {done}")

    def _keep(self, folder: RunFolder) -> None:
        """Write what is done, for whoever looks, and for a run that goes on from it."""
        from emjax.bayes.tree import save_tree

        fit, posterior, level = self.done["fit"], self.done["posterior"], self.study.level
        if posterior is None:
            self._write_fit(folder, left_out(fit, level, "The run has not come to the intervals."))
        else:
            folder.write("posterior.json", posterior_document(posterior, level))
            save_tree(posterior.sampled, folder.partial / TREE)
        self._write_objects(folder)
        folder.mark(*(name for stage, name in _STAGES.items() if self.done[stage] is not None))

    def _settings(self, folder: RunFolder) -> dict[str, Any]:
        """Every setting in force. Data that lie in no file are written down: from a pipe, and those of a program."""
        tree = resolved(self.study)
        piped = self.dataset.source == STANDARD_INPUT
        if piped or isinstance(self.task.data, ProgramData):
            columns, roles = columns_of(self.dataset)
            folder.write(DATA, columns)
            if piped:
                tree["data"] = {"kind": "source", "source": DATA, **roles}
        return tree

    def _finish_fit(self, folder: RunFolder) -> None:
        from emjax.report.page import render_fit

        fit = self.done["fit"]
        with _beside(_import_figures):
            intervals = self._intervals(fit)
        self._write_fit(folder, intervals)
        written, why_not = write_assignments(folder, fit)
        if why_not:
            self.listener.warn(why_not)
        provenance = self._write_objects(folder)
        command = shlex.join(provenance["command"])
        folder.write(PAGE, render_fit(fit, intervals, provenance=provenance, command=command, assignments_file=written))

    def _compare(self, folder: RunFolder, bars: Bars) -> None:
        from emjax.comparison import compare
        from emjax.report.page import render_report

        parts = 0

        def on_progress(what: str, done: int, total: int) -> None:
            nonlocal parts
            parts = total
            bars.update("comparison", done, total + 2, what)

        posterior = self.done["posterior"]
        comparison = self.done["comparison"] = compare(
            self.done["fit"],
            posterior,
            self.samples,
            level=self.study.level,
            key=self._key(2),
            loo=self._sampler.loo,
            on_progress=on_progress,
        )
        bars.update("comparison", parts, parts + 2, "files")
        # The comparison's fit has its components in the posterior's order: all files name them alike.
        given = fit_document(comparison.given, comparison.intervals_of["em"])
        map_intervals = comparison.intervals_of.get("map") or self._intervals(posterior.map_fit)
        mle = given if self._estimate == "mle" else None
        folder.write("em.json", {"mle": mle, "map": fit_document(posterior.map_fit, map_intervals)})
        folder.write("comparison.json", comparison.to_dict())
        provenance = self._write_objects(folder)
        bars.update("comparison", parts + 1, parts + 2, "report")
        folder.write(PAGE, render_report(comparison, provenance=provenance, command=shlex.join(provenance["command"])))

    def _write_fit(self, folder: RunFolder, intervals: Any) -> None:
        folder.write("em.json", {"mle": None, "map": None, self._estimate: fit_document(self.done["fit"], intervals)})

    def _write_objects(self, folder: RunFolder) -> dict[str, Any]:
        """Write what `emjax.open_run` gives back and return the content of ``environment.json``, with their hashes.

        Where a family of the user's own is no part of emjax nothing can be given back.
        """
        with suppress(UnknownTypeError):
            folder.write(FILE, written_objects(self.done))
        written = [folder.partial / name for name in (FILE, TREE)]
        # `_described` is told once, before anything has run.
        environment = {
            **self._described,
            "seconds": self.started.seconds,
            "files": {path.name: sha256_of(path) for path in written if path.exists()},
        }
        folder.write(ENVIRONMENT, environment)
        return environment

    @functools.cached_property
    def _described(self) -> dict[str, Any]:
        return describe_run(
            self.dataset,
            started=self.started,
            roles=self.samples.roles,
            task=self.task.kind,
            seed=self.study.seed,
            precision=self.em.precision,
            model=self._model_in_words(),
        )

    def _model_in_words(self) -> dict[str, Any]:
        """What the run says of its model; of a model file this asks the mixture that it has built."""
        model = self.study.model
        if not isinstance(model, ProgramModel):
            return {"family": model.family, "covariance": model.structure, "n_components": model.n_components}
        found = self._mixture(with_prior=True)
        told = {name: self._resolved[name] for name in ("program", "sha256", "arguments")}
        return {"family": model.family, "covariance": None, "n_components": found.n_components, **told}

    @functools.cached_property
    def _resolved(self) -> dict[str, Any]:
        return resolved_model(self.study.model)

    def _intervals(self, fit: Any) -> Any:
        level, method = self.study.level, self.em.intervals
        if method == "none":
            return left_out(fit, level)
        if method == DEFAULT_INTERVALS and self.task.kind != "fit":
            # What stands beside a posterior is what comparisons judge by, at no cost.
            method = OF_COMPARISONS
        resamples = self.em.resamples if method in SCHEMES else None
        return fit.intervals(level, method, n_replicates=resamples, key=self.study.seed)

    @property
    def _estimate(self) -> str:
        """Where the fit stands in ``em.json``."""
        return "mle" if self.em.kind == "em" else "map"

    @property
    def _sampler(self) -> SamplerMethod:
        assert self.task.sampler is not None, "no fit comes here"
        return self.task.sampler

    def _begin_compiling(self) -> None:
        """Let the sampler's programs be built while EM's are, on another core if there is one."""
        from emjax.bayes.handoff import compile_ahead

        sampler = self._sampler
        own = SAMPLERS[sampler.kind]
        if own.library == "numpyro":
            # NumPyro's import changes what JAX keys its programs by: built before it, they would be built twice.
            import emjax.bayes.bridge  # noqa: F401
        elif own.compiled_ahead and sampler.chains is None and sampler.dtype == "float64":
            # Data that cannot be used are refused by EM, which says so better.
            with suppress(EmjaxError, ValueError):
                compile_ahead(self._mixture(with_prior=True), self.samples)

    def _em(self, bars: Bars) -> Any:
        from emjax.em.fit import fit as fit_by_em

        em = self.em
        mixture = self._mixture(with_prior=em.kind == "map")
        stage = "EM" if em.kind == "em" else "EM (MAP)"

        def on_progress(progress: Progress) -> None:
            if em.log_every and progress.n_iter % em.log_every == 0:
                self.listener.log(parameter_line(mixture, progress))
            detail = f"{progress.n_running} of {progress.n_init} starts running"
            bars.update(stage, progress.n_iter, em.iterations, detail)

        bars.update(stage, 0, em.iterations, "starts")
        fit = fit_by_em(
            mixture,
            self.samples,
            key=self._key(0),
            # How many starts there are is left to EM where nobody says it.
            **{**fit_arguments(em.of_job()), "n_init": em.fixed_n_init},
            log_every=em.log_every,
            on_progress=on_progress,
        )
        bars.finish(stage, str(fit.status))
        if fit.status == "interrupted" and self.task.kind != "fit":
            # What comes next would work with an estimate that nobody has waited for.
            raise KeyboardInterrupt
        return fit

    def _mcmc(self, bars: Bars) -> Any:
        from emjax.bayes.sample import sample

        bars.update(MODES, 0, None, "EM's optima, and compiling")
        posterior = sample(
            self._mixture(with_prior=True),
            self.samples,
            key=self._key(1),
            init=self.done["fit"],
            **sample_arguments(self._sampler.of_job()),
            on_progress=ChainBars(bars),
            on_decision=self.listener.note,
        )
        bars.finish(MODES, f"{posterior.modes.n_modes} found")
        return posterior

    def _samples(self) -> Samples:
        if isinstance(self.study.model, ProgramModel):
            # Its columns are the program's arguments, in their order.
            with_prior = self.study.model.prior != "none"
            declared = mixture_for(self._resolved, self.dataset, with_prior=with_prior)
            return declared.samples(self.dataset, n_components=declared.n_components)
        levels = None
        if self.dataset.level_names is not None:
            levels = mixture_of(self._resolved, with_prior=False).family.levels
        n_components = self.study.model.n_components
        return as_samples(self.dataset, n_components=n_components, missing=True, levels=levels)

    def _mixture(self, *, with_prior: bool) -> Any:
        data = self.dataset if isinstance(self.study.model, ProgramModel) else self.samples
        return mixture_for(self._resolved, data, with_prior=with_prior)

    def _key(self, stage: int) -> Any:
        """A random key per stage, so that the draws do not depend on how EM used its own."""
        return jax.random.fold_in(jax.random.key(self.study.seed), stage)

    def _build_ahead(self) -> None:
        """Build what comes after the sampler while it works: XLA compiles on one core, most machines have another."""
        from emjax.comparison import build_ahead

        # Compiled beside the sampler, but no part of its cost.
        with unwatched():
            build_ahead(self.done["fit"], self.study.level)
        _import_figures()


def _import_figures() -> None:
    import emjax.plots  # noqa: F401  (matplotlib's import takes a second)


@contextmanager
def _beside(work: Callable[[], None] | None) -> Iterator[None]:
    """Do some work in another thread during the block, whose end waits for it.

    What fails there is not raised, because the run itself will meet it again.
    """
    with ThreadPoolExecutor(1) as pool:
        if work is not None:
            pool.submit(work)
        yield
