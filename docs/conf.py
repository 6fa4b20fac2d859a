"""Sphinx settings: MyST pages, the furo theme, and a hook that writes from the code what it knows best."""

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
from sphinx.application import Sphinx

import emjax
from emjax.experiments.config import Config

project = "emjax"
author = "The emjax developers"
project_copyright = author
version = release = installed_version("emjax")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"emjax {release}"
html_show_copyright = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]

# The fields of a dataclass stand in its "Attributes" section; as members too they would be described twice.
napoleon_use_ivar = True
# The docstrings say types and shapes in words; jaxtyping's shape strings read badly in a signature.
autodoc_typehints = "none"
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
    directive = "\n".join([f".. {kind}:: emjax.{name}", *options])
    return f"## `{name}`\n\n```{{eval-rst}}\n{directive}\n```"


def allowed(schema: dict[str, Any]) -> str:
    """What a key of the config takes, in words, from its JSON Schema."""
    if "anyOf" in schema:
        return " or ".join(allowed(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{choice}`" for choice in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {allowed(schema.get('items', {}))}"
    return str(schema.get("type", ""))


def config_table(heading: str, table: dict[str, Any]) -> str:
    """A heading and a table of the plain keys of one part of the config."""
    lines = [f"## {heading}", "", table["description"].partition("\n\n")[0], ""]
    lines += ["| key | takes | default | |", "|---|---|---|---|"]
    for key, field in table["properties"].items():
        if "type" in field or "anyOf" in field:
            default = "required" if key in table.get("required", ()) else f"`{field['default']}`"
            default = "" if field.get("default", "") is None else default
            lines.append(f"| `{key}` | {allowed(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(lines)


def config_tables() -> str:
    """The tables of the whole config: its top level, then its sections in their order."""
    tree = Config.model_json_schema()
    tables = [config_table("Top level", tree)]
    for key, field in tree["properties"].items():
        for name in dict.fromkeys(re.findall(r"#/\$defs/(\w+)", json.dumps(field))):
            section = tree["$defs"][name]
            kind = section["properties"].get("kind", {}).get("const")
            tables.append(config_table(f"`[{key}]`" + (f", kind `{kind}`" if kind else ""), section))
    return "\n\n".join(tables)


def terminal(command: str) -> str:
    """A command line of emjax and what it prints, as a block of text."""
    program, *arguments = command.split()
    plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    line = [str(Path(sys.executable).with_name(program)), *arguments]
    printed = subprocess.run(line, capture_output=True, text=True, check=True, env=plain).stdout
    return f"```text\n$ {command}\n{printed.rstrip()}\n```"


def write_from_code(app: Sphinx, page: str, source: list[str]) -> None:
    """Fill the marks of a page (`<!-- api -->`, `<!-- config -->`, `<!-- emjax ... -->`) from the code."""

    def fill(mark: re.Match[str]) -> str:
        if mark[1] == "api":
            return "\n\n".join(api_entry(name) for name in emjax.__all__)
        return config_tables() if mark[1] == "config" else terminal(mark[1])

    source[0] = re.sub(r"^<!-- (api|config|emjax [a-z -]+) -->$", fill, source[0], flags=re.MULTILINE)


def write_math(writer: nodes.NodeVisitor, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw themselves: the pages need no script from elsewhere."""
    # The converter reads the digits of \tfrac12 as the number twelve.
    tex = re.sub(r"(\\[td]?frac)(\d)(\d)", r"\1{\2}{\3}", node.astext())
    writer.body.append(tex2mathml(tex, as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the hooks above."""
    app.connect("source-read", write_from_code)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
