"""Expectation-maximisation: starts, steps, the one loop, restarts."""

from emjax.em.fit import Progress, fit

__all__ = ["Progress", "fit"]
