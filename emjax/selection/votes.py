"""What criteria and posteriors say of the number of components, as a table: who, which number, how sure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from emjax.selection.conflicts import conflicts
from emjax.selection.evidence import Evidence
from emjax.selection.number_posterior import NumberPosterior
from emjax.shown import Card, Pictured, Shown
from emjax.table import Cell, Column, Table, of_estimate
from emjax.wording import MISSING, listed


@dataclasses.dataclass(frozen=True, repr=False)
class Vote(Shown):
    r"""What one of them says.

    Attributes
    ----------
    who
        ``BIC``, ``AIC``, ``ICL``, ``evidence``, ``PSIS-LOO``, ``p(K)`` or ``p(K+)``.
    n_components
        Its number of components; None where it has no say.
    sure
        How sure, between 0 and 1: a criterion's weight :math:`e^{-\Delta/2}` among all numbers, a probability by the
        evidence or the posterior, and of PSIS-LOO the probability that the best number is better than the next.
    note
        What was left out, or why there is no say.
    side
        ``"EM"`` or ``"posterior"``.
    error
        The Monte-Carlo standard error of ``sure``; None where there is none.
    """

    who: str
    n_components: int | None
    sure: float
    note: str = ""
    side: str = "posterior"
    error: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class OfNumber(Shown):
    """The posterior of one number of components: its `Evidence`, its PSIS-LOO (see `psis_loo`), and what is wrong."""

    n_components: int
    evidence: Evidence | None
    loo: Mapping[str, Any] | None
    reason: str = ""

    @property
    def log_evidence(self) -> float:
        """In nats; NaN where none can be trusted."""
        return math.nan if self.evidence is None else self.evidence.value

    @property
    def log_evidence_error(self) -> float:
        """Its standard error."""
        return math.nan if self.evidence is None else self.evidence.standard_error


@dataclasses.dataclass(frozen=True, repr=False)
class Choice(Pictured):
    r"""Which number of components criteria and posteriors choose.

    Attributes
    ----------
    model
        The family and structure, by its name in the selection.
    votes
        What each says, those of fits first.
    numbers
        The posteriors of given numbers of components.
    number_posterior
        The posterior of the number; None where it cannot be drawn.
    criteria
        The weights :math:`e^{-\Delta/2}` of BIC, AIC and ICL, adding up to one, by name and number of components.
    same_prior
        Whether all posteriors have the same laws of the components' parameters.
    key
        The random key.
    """

    model: str
    votes: tuple[Vote, ...]
    numbers: tuple[OfNumber, ...]
    number_posterior: NumberPosterior | None
    same_prior: bool
    criteria: Mapping[str, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    key: Any = None

    @property
    def agree(self) -> bool | None:
        """Whether all that have a say name the same number; None where fewer than two have one."""
        said = [vote.n_components for vote in self.votes if vote.n_components is not None]
        return None if len(said) < 2 else len(set(said)) == 1

    @property
    def evidence_shares(self) -> dict[int, float]:
        """The probability of each number of components by its evidence, all being equally likely before.

        Numbers of which no evidence can be trusted are left out.
        """
        logs = {one.n_components: one.log_evidence for one in self.numbers if math.isfinite(one.log_evidence)}
        highest = max(logs.values(), default=0.0)
        total = sum(math.exp(value - highest) for value in logs.values())
        return {number: math.exp(value - highest) / total for number, value in logs.items()}

    @property
    def message(self) -> str:
        """Who says which number, in one sentence."""
        said: dict[int, list[str]] = {}
        for vote in self.votes:
            if vote.n_components is not None:
                said.setdefault(vote.n_components, []).append(vote.who)
        if not said:
            return "Nothing has a say that can be trusted."
        parts = [f"{number} by {listed(names, 7)}" for number, names in sorted(said.items())]
        return f"{'All agree' if len(said) == 1 else 'They disagree'}: {'; '.join(parts)}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the evidence and the posterior of the number cannot be read together, and the likeliest reason.

        That is where most of p(K+) lies outside the numbers that were sampled, of which alone there is an evidence, or
        where the best numbers by the evidence and by p(K) are others, beyond three joint standard errors of each.
        """
        evidence = {one.n_components: (one.log_evidence, one.log_evidence_error) for one in self.numbers}
        return conflicts(evidence, self.number_posterior, same_prior=self.same_prior)

    def tabulated(self) -> Table:
        """The votes as a table, with `message` and `warnings` below."""
        header = [
            Column("who", "name"),
            Column("K", "number", "number of components"),
            Column("how sure", "number", "a weight or a probability, see the notes"),
            Column("note", "word"),
        ]
        rows = [
            (
                Cell(vote.who),
                Cell(MISSING if vote.n_components is None else str(vote.n_components), values=(vote.n_components,)),
                of_estimate(vote.sure, vote.error) if vote.error else _share(vote.sure),
                Cell(vote.note),
            )
            for vote in self.votes
        ]
        return Table(header, rows, self._notes(), f"The number of components of {self.model}", "choice")

    def _notes(self) -> list[str]:
        notes = [self.message, *self.warnings, "Criteria: weights exp(-difference / 2). PSIS-LOO: best against next."]
        if not self.same_prior and self.number_posterior is not None:
            notes.append("Evidence and p(K) are under different priors of the parameters; give prior= for one.")
        return notes

    def by_number(self) -> Table:
        """Each number of components with its log evidence, PSIS-LOO and posterior probabilities."""
        rows = [self._row(one) for one in self.numbers]
        header = ("K", "log evidence", "PSIS-LOO", "p(K)", "p(K+)", Column("note", "word"))
        return Table(header, rows, (), f"Posteriors of {self.model} by the number of components", "by_number")

    def _row(self, one: OfNumber) -> list[Any]:
        loo = one.loo or {"value": math.nan, "standard_error": math.nan}
        place, own = one.n_components - 1, self.number_posterior
        shares = [Cell(MISSING), Cell(MISSING)]
        if own is not None and own.converged and place < len(own.p_clusters):
            shares[1] = of_estimate(own.p_clusters[place], own.p_clusters_error[place])
            if own.p_components is not None and own.p_components_error is not None:
                shares[0] = of_estimate(own.p_components[place], own.p_components_error[place])
        note = one.reason or ("" if one.evidence is None or one.evidence.agree else one.evidence.message)
        return [
            str(one.n_components),
            of_estimate(one.log_evidence, one.log_evidence_error),
            of_estimate(loo["value"], loo["standard_error"]),
            *shares,
            Cell(note),
        ]

    def __str__(self) -> str:
        return self.tabulated().brief.text

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "model", self.model
        yield "agree", self.agree
        yield from ((vote.who, vote.n_components) for vote in self.votes)

    def _card(self) -> Card:
        return Card(f"The number of components of {self.model}", list(self.warnings), table=self.tabulated())


def _share(value: float) -> Cell:
    return Cell(MISSING if math.isnan(value) else f"{value:.2f}", values=(None if math.isnan(value) else value,))
