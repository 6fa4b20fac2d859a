"""Sphinx settings: MyST pages, the furo theme, and a hook that writes from the code what it knows best."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pydantic import BaseModel
from sphinx.application import Sphinx

import emjax
from emjax.experiments.config.schema import Study

sys.path.insert(0, str(Path(__file__).parent))
gallery = importlib.import_module("gallery")

project = "emjax"
author = "The emjax developers"
project_copyright = author
version = release = installed_version("emjax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated"]

# Notebooks are kept without outputs and run here; one that fails ends the build. What one compiles the others find.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # hints of tqdm at widgets
nb_execution_timeout = 600
os.environ.setdefault("EMJAX_CACHE_DIR", str(Path(__file__).parent / "_build" / "programs"))
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# What pages link to beside themselves: the report.
(Path(__file__).parent / gallery.SITE).mkdir(parents=True, exist_ok=True)
html_extra_path = [gallery.SITE]

html_theme = "furo"
html_title = f"emjax {release}"
html_show_copyright = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]

# The fields of a dataclass stand in its "Attributes" section; as members too they would be described twice.
napoleon_use_ivar = True
# Types link to where they are described; shapes are in the docstrings, in words.
# A word such as `n_samples` is an attribute of several classes: it stays a word.
suppress_warnings = ["ref.python"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"


def api_entry(name: str) -> str:
    """A heading and the autodoc directive for one public name of the package."""
    thing = getattr(emjax, name)
    if inspect.isclass(thing):
        kind, options = "autoclass", ["   :members:"]
    elif isinstance(thing, ModuleType):
        kind, options = "automodule", ["   :members:"]
    elif callable(thing):
        kind, options = "autofunction", []
    else:
        return f"## `{name}`\n\n`{thing!r}`"
    # A module may be offered under a shorter name than the one it is imported by, as `emjax.laws` is.
    home = thing.__name__ if isinstance(thing, ModuleType) else f"emjax.{name}"
    directive = "\n".join([f".. {kind}:: {home}", *options])
    return f"## `{name}`\n\n```{{eval-rst}}\n{directive}\n```"


def allowed(schema: dict[str, Any]) -> str:
    """What a key of the config takes, in words, from its JSON Schema."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            words = [allowed(choice) for choice in schema[key] if choice.get("type") != "null"]
            return " or ".join(dict.fromkeys(words))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{choice}`" for choice in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        entry = allowed(schema.get("items", {}))
        return f"list of {entry}" if entry else "list"
    return "table" if "$ref" in schema else str(schema.get("type", "")).replace("object", "table")


def config_table(heading: str, table: dict[str, Any]) -> str:
    """A heading and a table of the keys of one part of the config, but for those with a table of their own."""
    lines = [f"### {heading}", "", " ".join(table["description"].partition("\n\n")[0].split()), ""]
    lines += ["| key | takes | default | |", "|---|---|---|---|"]
    for key, field in table["properties"].items():
        if "type" in field or "anyOf" in field:
            default = "required" if key in table.get("required", ()) else f"`{field.get('default', {})}`"
            default = "" if field.get("default", {}) in (None, {}, []) and default != "required" else default
            lines.append(f"| `{key}` | {allowed(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(lines)


def config_tables(schema: type[BaseModel]) -> str:
    """The tables of a whole config: its top level, then its sections in their order."""
    tree = schema.model_json_schema()
    tables = [config_table("Top level", tree)]
    seen: set[str] = set()

    def add(place: str, field: dict[str, Any]) -> None:
        for name in dict.fromkeys(re.findall(r"#/\$defs/(\w+)", json.dumps(field))):
            section = tree["$defs"][name]
            if name in seen or "properties" not in section:
                continue
            seen.add(name)
            kind = section["properties"].get("kind", {})
            kinds = ", ".join(f"`{choice}`" for choice in kind.get("enum", [kind["const"]] if "const" in kind else []))
            heading = f"`[[{place}]]`" if field.get("type") == "array" else f"`[{place}]`"
            variant = f", kind {kinds}" if kinds and name not in NAMED_BY_THEIR_KEY else ""
            tables.append(config_table(heading + variant + (", with `file`" if name == "FileModel" else ""), section))
            for key, below in section["properties"].items():
                add(f"{place}.{key}", below)

    for key, field in tree["properties"].items():
        add(key, field)
    return "\n\n".join(tables)


NAMED_BY_THEIR_KEY = {"Contamination", "Misspecification"}
"""Tables whose `kind` is a setting like others, and chooses no further keys."""


def terminal(command: str) -> str:
    """A command line of emjax and what it prints, as a block of text."""
    program, *arguments = command.split()
    plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    line = [str(Path(sys.executable).with_name(program)), *arguments]
    printed = subprocess.run(line, capture_output=True, text=True, check=True, env=plain).stdout
    return f"```text\n$ {command}\n{printed.rstrip()}\n```"


def write_from_code(app: Sphinx, page: str, source: list[str]) -> None:
    """Fill the marks of a page (`<!-- api -->`, `<!-- objects table -->`, ..., `<!-- emjax ... -->`) from the code."""

    def fill(mark: re.Match[str]) -> str:
        if mark[1] == "api":
            return "\n\n".join(api_entry(name) for name in emjax.__all__)
        if mark[1] == "config":
            return config_tables(Study)
        if mark[1] in gallery.SECTIONS:
            return gallery.SECTIONS[mark[1]](Path(app.srcdir))
        return terminal(mark[1])

    source[0] = re.sub(
        r"^<!-- (api|config|(?:objects|gallery) [a-z]+|emjax [a-z -]+) -->$", fill, source[0], flags=re.MULTILINE
    )


def write_math(writer: nodes.NodeVisitor, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw themselves: the pages need no script from elsewhere."""
    # The converter reads the digits of \tfrac12 as the number twelve.
    tex = re.sub(r"(\\[td]?frac)(\d)(\d)", r"\1{\2}{\3}", node.astext())
    writer.body.append(tex2mathml(tex, as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the hooks above."""
    app.connect("source-read", write_from_code)
    app.connect(
        "env-get-outdated", lambda *_: ["objects", "plots", "experiments", "models", "index"]
    )  # what they show is nobody's file
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
