"""The command ``emjax``, also as ``python -m emjax``."""

import signal


def main() -> None:
    """Entry point of the command."""
    # Until the command line has been imported, and answers signals in words, Ctrl-C ends the process as it ends any
    # other: Python would print where it was.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from emjax.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
