"""The report: one page that holds everything it shows, for people who would rather look than read numbers."""

from emjax.report.page import write_report

__all__ = ["write_report"]
