"""The figures of the report, one kind per file; `emjax.experiments.plots` is their public face."""
