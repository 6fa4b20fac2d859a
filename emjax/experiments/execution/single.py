"""One run from a config to its folder: data, EM, MCMC, comparison, files."""

import dataclasses
import functools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax import clock
from emjax.catalogue import SAMPLERS
from emjax.datasets.readers import STANDARD_INPUT
from emjax.environment import describe_run
from emjax.errors import ConfigError, EmjaxError
from emjax.experiments.archive.assignments import write_assignments
from emjax.experiments.archive.documents import fit_document, parameter_line, posterior_document
from emjax.experiments.archive.door import read_json
from emjax.experiments.archive.single import DATA, FILE, TREE, read_objects, written_objects
from emjax.experiments.archive.store import RunFolder, run_folder
from emjax.experiments.config.methods import SamplerMethod
from emjax.experiments.config.schema import Study, Task, comparable, resolved, single_task
from emjax.experiments.execution.listener import Bars, ChainBars, Listener
from emjax.experiments.work.loading import columns_of, data_name, load_data
from emjax.files import sha256_of
from emjax.jsonable import digest
from emjax.plain import UnknownTypeError
from emjax.samples import Samples, as_samples
from emjax.shown import Shown

if TYPE_CHECKING:
    from emjax.em.fit import Progress

PAGE = "report.html"
_STAGES = {"fit": "EM", "posterior": "sampling"}
"""What is kept of a run that is ended early, in the order of its stages."""

MODES = "modes"
"""The stage of a run before its chains move: nobody knows yet how many there will be."""


@dataclasses.dataclass(frozen=True, repr=False)
class RunResult(Shown):
    """What a run came to.

    Attributes:
        folder: where it was written.
        document: what the command prints with ``--json``.
        trustworthy: whether it ended as it should: EM and, where there is one, the sampler report
            ``converged``. Exactly n iterations of EM, as asked for, are as it should be.
        fit: the EM fit; the posterior mode for ``sample`` and where ``model.prior`` is given, else maximum likelihood.
        posterior: the posterior, None for ``fit``.
        comparison: the comparison, None but for ``compare``.
        about: ``name`` and ``shape`` of the data, the ``model`` in words, the ``roles`` of rows.
        task: ``compare``, ``fit`` or ``sample``.
    """

    folder: Path
    document: dict[str, Any]
    trustworthy: bool
    fit: Any
    posterior: Any = None
    comparison: Any = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    task: str = ""


def run(study: Study, *, listener: Listener | None = None, overwrite: bool = False) -> RunResult:
    """Run a study that is a single run (`single_task`) and write its folder.

    One that fails or is interrupted leaves the stages behind that it had done, EM and sampling, and the same config
    goes on from there, with the same numbers in the end. See `archive.store` for the folder's name and
    ``overwrite``.

    Raises DataError for data that cannot be used, RunExistsError when the folder is there, ConfigError for a study that
    is more than a single run.
    """
    task = single_task(study)
    if task is None:
        raise ConfigError("run: this is a study of more than one run: use run_study, or `emjax run CONFIG.toml`")
    return _Run(study, task, listener or Listener(), overwrite).execute()


class _Run:
    """The parts of a run share the config, the data and where progress is shown."""

    def __init__(self, study: Study, task: Task, listener: Listener, overwrite: bool) -> None:
        self.study = study
        self.task = task
        self.em = task.em
        self.listener = listener
        self.overwrite = overwrite
        self.started = clock.now()
        self.dataset = load_data(task.data)
        self.samples = self._samples()
        self._held: Mapping[str, Any] = {}

    def execute(self) -> RunResult:
        study, kind = self.study, self.task.kind
        suffix = "" if kind == "compare" else f"-{kind}"
        default = f"{data_name(self.task.data)}-k{study.model.n_components}{suffix}"
        task = {"fit": self._fit, "sample": self._sample, "compare": self._compare}[kind]
        key = self._identity()
        with run_folder(study.output.dir, default=default, overwrite=self.overwrite, key=key) as folder:
            folder.write("config.toml", self._settings(folder))
            if folder.begun:
                self._held = self._done_before(folder)
            result = task(folder)
            path = folder.publish()
        about = {
            "name": self.dataset.name,
            "shape": self.dataset.shape,
            "model": self._model(),
            "roles": self.samples.roles,
        }
        document = {**result.document, "run": str(path)}
        return dataclasses.replace(result, folder=path, document=document, about=about, task=kind)

    def _identity(self) -> str:
        """What the numbers of the run depend on, as a hash."""
        found = self._described
        parts = {name: found[name] for name in ("versions", "machine", "devices")}
        return digest([comparable(self.study), found["data"]["sha256"], parts], 16)

    def _done_before(self, folder: RunFolder) -> Mapping[str, Any]:
        """The fit and the posterior that an earlier run has left, as far as they are whole."""
        try:
            environment = read_json(folder.partial / "environment.json")
            found = {name: one for name, one in read_objects(folder.partial, environment, self.dataset).items() if one}
        except ConfigError:
            return {}
        done = " and ".join(name for stage, name in _STAGES.items() if stage in found)
        self.listener.note(f"{folder.target} is unfinished; going on after {done}")
        return found

    def _keep(self, folder: RunFolder, fit: Any, posterior: Any = None) -> None:
        """Write what is done, for whoever looks, and for a run that goes on from it."""
        from emjax.uncertainty.information import left_out

        if posterior is None:
            key = "mle" if fit.mixture.prior is None else "map"
            waits = left_out(fit, self.study.level, "The run has not come to the intervals.")
            folder.write("em.json", {"mle": None, "map": None, key: fit_document(fit, waits)})
        else:
            _write_posterior(folder, posterior, posterior_document(posterior, self.study.level))
        _write_objects(folder, fit, posterior)
        self._write_environment(folder)
        folder.mark(*(name for stage, name in _STAGES.items() if stage == "fit" or posterior is not None))

    def _settings(self, folder: RunFolder) -> dict[str, Any]:
        """Every setting in force; data that came through a pipe are written down, so that the run can be repeated."""
        tree = resolved(self.study)
        if self.dataset.source == STANDARD_INPUT:
            columns, roles = columns_of(self.dataset)
            folder.write(DATA, columns)
            tree["data"] = {"kind": "source", "source": DATA, **roles}
        return tree

    def _fit(self, folder: RunFolder) -> RunResult:
        from emjax.report.page import render_fit

        with self.listener.bars(self.em.log_every == 0) as bars:
            fit = self._em(bars)
        key = self._estimate
        with _beside(_import_figures):
            intervals = self._intervals(fit)
        document = fit_document(fit, intervals)
        folder.write("em.json", {"mle": None, "map": None, key: document})
        _write_objects(folder, fit)
        written, why_not = write_assignments(folder, fit)
        if why_not:
            self.listener.warn(why_not)
        provenance = self._write_environment(folder)
        command = shlex.join(provenance["command"])
        page = render_fit(fit, intervals, provenance=provenance, command=command, assignments_file=written)
        folder.write(PAGE, page)
        asked_for = self.em.iterations is not None and str(fit.status) == "max_iter"
        return RunResult(folder.target, document, fit.converged or asked_for, fit)

    def _sample(self, folder: RunFolder) -> RunResult:
        with self.listener.bars(self.em.log_every == 0) as bars:
            fit, posterior = self._fit_and_draws(folder, bars)
        folder.write("em.json", {"mle": None, "map": fit_document(fit, self._intervals(fit))})
        document = posterior_document(posterior, self.study.level)
        self._write_environment(folder)
        return RunResult(folder.target, document, document["status"] == "converged", fit, posterior)

    def _fit_and_draws(self, folder: RunFolder, bars: Bars) -> tuple[Any, Any]:
        """The fit and the posterior, as far as they are not there, each kept as soon as it is."""
        fit, posterior = (self._held.get(stage) for stage in _STAGES)
        if fit is None:
            self._begin_compiling()
            fit = self._em(bars)
            self._keep(folder, fit)
        if posterior is None:
            with _building_ahead(fit, self.study.level) if self.task.kind == "compare" else nullcontext():
                posterior = self._mcmc(fit, bars)
            self._keep(folder, fit, posterior)
        return fit, posterior

    def _intervals(self, fit: Any) -> Any:
        from emjax.uncertainty.information import left_out

        level = self.study.level
        return fit.intervals(level=level) if self.em.intervals != "none" else left_out(fit, level)

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

    def _compare(self, folder: RunFolder) -> RunResult:
        from emjax.comparison import compare
        from emjax.report.page import render_report

        level = self.study.level
        with self.listener.bars(self.em.log_every == 0) as bars:
            fit, posterior = self._fit_and_draws(folder, bars)
            parts = 0

            def on_progress(what: str, done: int, total: int) -> None:
                nonlocal parts
                parts = total
                bars.update("comparison", done, total + 2, what)

            loo = self._sampler.loo
            comparison = compare(
                fit, posterior, self.samples, level=level, key=self._key(2), loo=loo, on_progress=on_progress
            )
            bars.update("comparison", parts, parts + 2, "files")
            # The comparison's fit has its components in the posterior's order: all files name them alike.
            given = fit_document(comparison.given, comparison.intervals_of["em"])
            mle = given if self._estimate == "mle" else None
            map_intervals = comparison.intervals_of.get("map") or self._intervals(posterior.map_fit)
            folder.write("em.json", {"mle": mle, "map": fit_document(posterior.map_fit, map_intervals)})
            folder.write("comparison.json", comparison.to_dict())
            _write_objects(folder, fit, posterior, comparison)
            bars.update("comparison", parts + 1, parts + 2, "report")
            provenance = self._write_environment(folder)
            page = render_report(comparison, provenance=provenance, command=shlex.join(provenance["command"]))
            folder.write(PAGE, page)
        document = json.loads((folder.partial / "comparison.json").read_text(encoding="utf-8"))
        trustworthy = fit.converged and str(posterior.status) == "converged"
        return RunResult(folder.target, document, trustworthy, fit, posterior, comparison)

    @functools.cached_property
    def _described(self) -> dict[str, Any]:
        described = describe_run(
            self.dataset,
            model=self._model(),
            precision=self.em.precision,
            seed=self.study.seed,
            started=self.started,
            roles=self.samples.roles,
        )
        return {**described, "task": self.task.kind}

    def _write_environment(self, folder: RunFolder) -> dict[str, Any]:
        environment = dict(self._described)
        written = [folder.partial / name for name in (FILE, TREE)]
        environment["files"] = {path.name: sha256_of(path) for path in written if path.exists()}
        folder.write("environment.json", environment)
        return environment

    def _model(self) -> dict[str, Any]:
        """What is fitted, in words; of a model file this asks the mixture that it has built."""
        model = self.study.model
        return {"family": model.family, "covariance": model.structure, "n_components": model.n_components}

    @property
    def _estimate(self) -> str:
        """Where the fit stands in ``em.json``."""
        return "mle" if self.em.kind == "em" else "map"

    @property
    def _sampler(self) -> SamplerMethod:
        assert self.task.sampler is not None, "no fit comes here"
        return self.task.sampler

    def _em(self, bars: Bars) -> Any:
        from emjax.em.fit import fit as fit_by_em

        em = self.em
        mixture = self._mixture(with_prior=em.kind == "map")
        stage = "EM" if em.kind == "em" else "EM (MAP)"

        def on_progress(progress: "Progress") -> None:
            if em.log_every and progress.n_iter % em.log_every == 0:
                self.listener.log(parameter_line(mixture, progress))
            detail = f"{progress.n_running} of {progress.n_init} starts running"
            bars.update(stage, progress.n_iter, em.iterations, detail)

        bars.update(stage, 0, em.iterations, "starts")
        fit = fit_by_em(
            mixture,
            self.samples,
            key=self._key(0),
            n_init=em.fixed_n_init,
            max_iter=em.iterations or em.max_iter,
            tol=0.0 if em.iterations else em.tol,
            starts=em.starts,
            accelerate=em.accelerate,
            dtype=em.precision,
            log_every=em.log_every,
            on_progress=on_progress,
        )
        bars.finish(stage, str(fit.status))
        if fit.status == "interrupted" and self.task.kind != "fit":
            # What comes next would work with an estimate that nobody has waited for.
            raise KeyboardInterrupt
        return fit

    def _mcmc(self, fit: Any, bars: Bars) -> Any:
        from emjax.bayes.sample import sample

        sampler = self._sampler
        bars.update(MODES, 0, None, "EM's optima, and compiling")
        posterior = sample(
            self._mixture(with_prior=True),
            self.samples,
            key=self._key(1),
            init=fit,
            method=sampler.kind,
            chains=sampler.chains,
            warmup=sampler.warmup,
            draws=sampler.draws,
            target_accept_prob=sampler.target_accept_prob,
            dtype=sampler.dtype,
            on_progress=ChainBars(bars),
            on_decision=self.listener.note,
        )
        bars.finish(MODES, f"{posterior.modes.n_modes} found")
        return posterior

    def _samples(self) -> Samples:
        from emjax.experiments.config.mixtures import mixture_of, resolved_model

        levels = None
        if self.dataset.level_names is not None:
            levels = mixture_of(resolved_model(self.study.model), with_prior=False).family.levels
        n_components = self.study.model.n_components
        return as_samples(self.dataset, n_components=n_components, missing=True, levels=levels)

    def _mixture(self, *, with_prior: bool) -> Any:
        from emjax.experiments.config.mixtures import mixture_for, resolved_model

        return mixture_for(resolved_model(self.study.model), self.samples, with_prior=with_prior)

    def _key(self, stage: int) -> Any:
        """A random key per stage, so that the draws do not depend on how EM used its own."""
        import jax

        return jax.random.fold_in(jax.random.key(self.study.seed), stage)


@contextmanager
def _building_ahead(fit: Any, level: float) -> Iterator[None]:
    """Build what comes after the sampler while it works: XLA compiles on one core, and most machines have another.

    Leaving the block waits for it. What fails here is not raised, because the run itself will meet it again.
    """

    def build() -> None:
        from emjax.clock import unwatched
        from emjax.comparison import build_ahead

        # Compiled beside the sampler, but no part of its cost.
        with unwatched():
            build_ahead(fit, level)
        _import_figures()

    with _beside(build):
        yield


def _import_figures() -> None:
    import emjax.plots  # noqa: F401  (matplotlib's import takes a second)


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do some work in another thread during the block, whose end waits for it; what fails is not raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        yield


def _write_posterior(folder: RunFolder, posterior: Any, document: dict[str, Any]) -> None:
    from emjax.bayes.tree import save_tree

    folder.write("posterior.json", document)
    save_tree(posterior.sampled, folder.partial / TREE)


def _write_objects(folder: RunFolder, fit: Any, posterior: Any = None, comparison: Any = None) -> None:
    """Write what `emjax.open_run` gives back; nothing where a family of the user's own is no part of emjax."""
    with suppress(UnknownTypeError):
        folder.write(FILE, written_objects({"fit": fit, "posterior": posterior, "comparison": comparison}))
