"""A new experiment: a folder with a config that runs as it is, and a README that says how."""

import json
import os
import shlex
from contextlib import ExitStack
from pathlib import Path

from emjax.atomic import NOTHING_WRITTEN, remove, remove_empty, storage, write_atomically
from emjax.errors import ConfigError
from emjax.files import user_path
from emjax.wording import printable

_TEMPLATES = Path(__file__).parent
FILES = ("config.toml", "README.md")


def init_experiment(folder: str | Path, *, title: str | None = None) -> Path:
    """Make ``folder`` with a config and a README; return its path.

    Parameters
    ----------
    folder
        The new folder. One that is there already has to be empty of the files that are written.
    title
        What the study is called; by default the folder's name, with spaces for underscores and hyphens.

    Raises
    ------
    ConfigError
        If one of the files is there already (nothing is touched), or the folder cannot be written.
    """
    folder = user_path(folder)
    shown = printable(folder)
    name = Path(os.path.abspath(folder)).name
    title = title or name.replace("_", " ").replace("-", " ").strip().capitalize() or "Study"
    for file in FILES:
        if os.path.lexists(folder / file):
            raise ConfigError(f"{shown}: {file} is there already and was not touched; choose another name")
    is_new = not folder.exists()
    with ExitStack() as otherwise:
        if is_new:
            otherwise.callback(remove_empty, folder)
        with storage(folder, NOTHING_WRITTEN):
            folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            text = (_TEMPLATES / file).read_text(encoding="utf-8")
            # In TOML a JSON string is a string, so that quotes and line breaks in a name do no harm.
            quoted = json.dumps(title, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
            text = text.replace("{folder}", shlex.quote(folder.as_posix()))
            filled = text.replace("{title}", quoted if file.endswith(".toml") else printable(title))
            write_atomically(folder / file, filled, NOTHING_WRITTEN)
            otherwise.callback(remove, folder / file)
        otherwise.pop_all()
    return folder
