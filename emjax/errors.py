"""The exceptions of emjax: each message is one line that names the place and the remedy."""


class EmjaxError(Exception):
    """Base class: the command line turns any of these into one line and exit code 2."""


class DataError(EmjaxError, ValueError):
    """The data cannot be used as they are."""


class ConfigError(EmjaxError, ValueError):
    """A setting, an option or a config file is wrong."""


class FitError(EmjaxError, RuntimeError):
    """An estimate was asked for with ``throw=True`` and ended in a status that is not ``converged``."""


class RunExistsError(EmjaxError, FileExistsError):
    """A run folder is already there; nothing was overwritten."""


class DataWarning(UserWarning):
    """The data could be read in two ways; the message says which was taken, and how to take the other."""
