"""The number of components: criteria, evidence, and the posterior of it."""

from emjax.selection.evidence import log_evidence

__all__ = ["log_evidence"]
