"""HTML pages from the templates beside this file: each in one file that needs no network and no other file."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mlip_design.files import replacing


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
    with replacing(path) as file:
        file.write(text)
    return path
