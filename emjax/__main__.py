"""`python -m emjax` is the command `emjax`."""

from emjax.experiments.cli import main

if __name__ == "__main__":
    main()
