"""From the model section of a config to a mixture and its prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emjax.catalogue import WISHART
from emjax.errors import ConfigError
from emjax.experiments.config.model import AnyModel, FileModel, LawTable, PriorTable
from emjax.experiments.config.programs import ProgramModel, program_of, resolved_program
from emjax.experiments.config.python_files import absolute, build_from_file, content_of

if TYPE_CHECKING:
    from emjax.families import laws
    from emjax.mixture import Mixture, Prior


def resolved_model(model: AnyModel) -> dict[str, Any]:
    """The model section of a spec: every setting in force as plain JSON values.

    ``family``, ``covariance`` (where there is one), ``n_components`` and ``prior`` (``"none"``, ``"default"`` or a
    table); for a model file also ``file`` (its absolute path), ``sha256`` (of its content) and ``arguments``, and
    ``prior`` only where the config overrides that of the mixture that it builds.

    Of a program as `resolved_program` has it.

    Raises ConfigError for a file that builds no mixture or is no program.
    """
    if isinstance(model, ProgramModel):
        return resolved_program(model)
    prior = model.prior.model_dump(exclude_none=True) if isinstance(model.prior, PriorTable) else model.prior
    tree = {"family": model.family, "n_components": model.n_components, "covariance": model.structure, "prior": prior}
    if isinstance(model, FileModel):
        file, (_, sha256) = absolute(model.file), content_of(model.file)
        tree |= {"file": file, "sha256": sha256, "arguments": model.arguments}
    else:
        tree["prior"] = prior or "default"
    return {key: value for key, value in tree.items() if value is not None}


def mixture_of(model: Mapping[str, Any], *, with_prior: bool) -> Any:
    """The mixture that the model section of a spec (see `resolved_model`) declares.

    Of a program it is an `emjax.Program`, which becomes a mixture with data (`mixture_for`).
    Without its prior it has ``prior=None``: maximum likelihood. With, it has that of its file, or ``"default"``, in
    whose place `prior_of` gives the one that the section declares, scaled by the data.

    Raises ConfigError for a model file that cannot be run, builds no mixture, or no longer has its ``sha256``.
    """
    if "program" in model:
        return program_of(model, with_prior=with_prior)
    if "file" not in model:
        from emjax.families import FAMILIES
        from emjax.mixture import Mixture

        # Studies of before a structure was always written out leave it to the family.
        options = {"covariance": model["covariance"]} if model.get("covariance") else {}
        return Mixture(FAMILIES[model["family"]](**options), model["n_components"], "default" if with_prior else None)
    built = build_from_file(model["file"], model.get("arguments") or {}, model.get("sha256"))
    prior = ("default" if built.prior is None else built.prior) if with_prior else None
    return dataclasses.replace(built, prior=prior)


def prior_of(
    model: Mapping[str, Any], mixture: Mixture, x: Any
) -> Prior | Mapping[str, Any] | Literal["default"] | None:
    """The prior that the model section of a spec declares for its ``mixture`` (with its prior) and data ``x``.

    The data ``(n_samples, n_features)`` scale a prior that is given as a table. Raises ConfigError as `check_prior`.
    """
    declared = model.get("prior")
    if declared is None:
        return mixture.prior
    if declared == "none":
        return None
    if declared == "default":
        return "default"
    samples = mixture.samples(x)
    check_prior(model, samples.n_features)
    table = PriorTable.model_validate(declared)
    given = {site: _law(one) for site, one in table.laws.items()}
    try:
        prior = dataclasses.replace(mixture, prior=given).resolved_prior(samples)
    except ValueError as error:
        raise ConfigError(f"model.{error}") from None
    assert prior is not None  # a mapping is one
    changed = {site: _changed(law, table) for site, law in prior.components.items() if site not in given}
    if "concentration" in table.factors:
        from emjax.families import laws

        changed["weights"] = laws.Dirichlet(prior.concentration * table.factors["concentration"])
    return prior.replace(**changed)


def _law(table: LawTable) -> laws.Law:
    """The law that a table names."""
    from emjax.families import laws  # with JAX, which planning a study does without

    kind = getattr(laws, table.law.replace("_", " ").title().replace(" ", "") if table.law != "lkj" else "LKJ")
    return kind(**{name: np.asarray(value, dtype=float) for name, value in table.numbers.items()})


def check_prior(model: Mapping[str, Any], n_features: int) -> None:
    """Refuse a prior table that has a key of another family, or too few degrees of freedom, by ConfigError."""
    if not isinstance(model.get("prior"), Mapping):
        return
    table = PriorTable.model_validate(model["prior"])
    problem = table.misplaced(model["family"])
    if problem is not None:
        raise ConfigError(f"model.{problem}")
    least = n_features - 1 if model.get("covariance") in WISHART else 0
    if table.degrees_of_freedom is not None and table.degrees_of_freedom <= least:
        raise ConfigError(
            f"model.prior.degrees_of_freedom = {table.degrees_of_freedom:g} is not allowed; with {n_features} features "
            f"and {model['covariance']} covariances it has to be greater than {least}"
        )


def mixture_for(model: Mapping[str, Any], x: Any, *, with_prior: bool) -> Mixture:
    """`mixture_of` with the prior that `prior_of` gives for some data; a program as it is declared for them."""
    mixture: Mixture = mixture_of(model, with_prior=with_prior)
    return declared_for(model, mixture, x) if with_prior or "program" in model else mixture


def declared_for(model: Mapping[str, Any], mixture: Any, x: Any) -> Mixture:
    """What `mixture_of` gave, with its prior, for some data: with that of `prior_of`, or as a program has it."""
    found: Mixture = mixture.declared(x) if "program" in model else mixture
    return found if "program" in model else dataclasses.replace(found, prior=prior_of(model, mixture, x))


def _changed(law: Any, table: PriorTable) -> Any:
    """A default law of the components with the numbers of a table in place."""
    given: dict[str, Any] = {name: np.asarray(value, dtype=float) for name, value in table.factors.items()}
    kind, scatter = type(law), given.get("scatter", 1.0)
    match kind.__name__:
        case "Gamma":
            # The mean of the prior stays at the mean of the data unless its rate is given.
            shape = given.get("shape", law.shape)
            rate = law.rate * (shape / law.shape)
            return kind(shape, np.full(np.shape(rate), given["rate"]) if "rate" in given else rate)
        case "NormalGiven":
            return kind(law.mean, given.get("mean_precision", law.precision))
        case "InverseWishart":
            return kind(given.get("degrees_of_freedom", law.degrees_of_freedom), law.scatter * scatter)
        case "InverseGamma":
            half = np.asarray(0.5 * given.get("degrees_of_freedom", 2.0 * law.shape))
            return kind(half, law.scale * scatter)
    return law
