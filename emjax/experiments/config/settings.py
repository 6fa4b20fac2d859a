"""Reads the config of a single run: from a file, from ``--set`` overrides, from the options of a command.

Whatever is wrong ends in one :class:`~emjax.errors.ConfigError` of one line that names the place, the key,
what was given and what is allowed.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emjax.errors import ConfigError
from emjax.experiments.config import single as schema
from emjax.experiments.config.positions import Location
from emjax.experiments.config.reading import read_tree
from emjax.experiments.config.refusals import refusal
from emjax.experiments.config.single import Config
from emjax.wording import printable

__all__ = ["build_config", "load_config", "with_output"]


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Return the config of a TOML file, with ``overrides`` (``"model.n_components=3"``) put on top.

    Paths in the file (``data.source``, ``model.file``, ``output.dir``) are relative to the file; paths in an
    override are relative to the current folder. See `emjax.experiments.config.reading.read_tree` for ``extends``.

    Raises ConfigError when the file cannot be read, is not TOML, or holds an unknown key or a bad value.
    """
    declared = read_tree(path, overrides)
    return build_config(declared.tree, place=str(path), where=declared.where)


def build_config(
    tree: Mapping[str, Any],
    *,
    place: str,
    display: Mapping[str, str] | None = None,
    where: Callable[[Location], str] | None = None,
) -> Config:
    """Return the config of a tree of plain values.

    ``place`` opens the error messages, or what ``where`` says of the place in the tree that is wrong; ``display``
    gives the name under which the user wrote a dotted key, such as ``{"model.n_components": "-k"}``.
    """
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        found = refusal(error, Config, display)
    raise ConfigError(found.message(where(found.location) if where else printable(place)))


def with_output(config: Config, folder: Path) -> Config:
    """Return the same config, to be written to ``folder`` (relative to the current one)."""
    return config.model_copy(update={"output": schema.Output(dir=str(folder))})
