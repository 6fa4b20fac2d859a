"""The exit codes of the command `emjax`; `docs/cli.md` says when each is given."""

EXIT_OK, EXIT_UNEXPECTED, EXIT_BAD_INPUT, EXIT_NOT_CONVERGED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
EXIT_DIFFERENT = 3
"""Given by `emjax diff` and `emjax rerun` where numbers (for ``diff`` also settings) differ."""


class Explained(int):
    """An exit code whose reason stands on standard error already."""
