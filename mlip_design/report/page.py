"""HTML pages from the templates beside this file: each in one file that needs no network and no other file."""

import os
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Templates that escape what they are given and refuse a name that they are not given."""
    loader = PackageLoader("mlip_design.report")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


def write_page(path: Path, template: str, **content: object) -> Path:
    """Fill a template and put it in the place of `path` as a whole; returns the path."""
    text = environment().get_template(template).render(**content)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path
