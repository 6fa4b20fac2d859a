"""What an estimate took: compile and run seconds apart, and effective draws per second."""

from dataclasses import dataclass

from emjax.shown import Shown


@dataclass(frozen=True, repr=False)
class Cost(Shown):
    """Wall-clock cost of one estimate.

    Attributes:
        compile_seconds: tracing and compilation, paid once per shape and saved by the compilation cache.
        run_seconds: the computation itself, all restarts and warm-up included.
        total_seconds: from call to return; at least about the sum of the two.
        min_ess: the smallest effective sample size over the parameters, for estimates made of draws; None for
            EM.
    """

    compile_seconds: float
    run_seconds: float
    total_seconds: float
    min_ess: float | None = None

    @property
    def effective_draws_per_second(self) -> float | None:
        """``min_ess / run_seconds``; None without `min_ess` or where no time was measured."""
        if self.min_ess is None or self.run_seconds <= 0.0:
            return None
        return self.min_ess / self.run_seconds

    def to_dict(self) -> dict[str, float | None]:
        """The five numbers under stable keys, ready for JSON; None where there are no effective draws."""
        return {
            "compile_seconds": self.compile_seconds,
            "run_seconds": self.run_seconds,
            "total_seconds": self.total_seconds,
            "min_ess": self.min_ess,
            "effective_draws_per_second": self.effective_draws_per_second,
        }
