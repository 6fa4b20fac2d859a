"""The figures of the report, one kind per file; `emjax.plots` is their public face."""
