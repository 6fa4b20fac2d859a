"""The figures, one kind per file; `emjax.plots` is their public face."""
