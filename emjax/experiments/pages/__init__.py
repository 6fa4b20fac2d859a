"""The page of a study: its question, its table, its curves, and where the verdict was right."""

from emjax.experiments.pages.build import write_study_report

__all__ = ["write_study_report"]
