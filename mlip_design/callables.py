"""Python objects and their arguments as texts on a command line: `module:callable` and `key=value`."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def key_value(text: str) -> tuple[str, Any]:
    """Key and value of `key=value`; a value that is no Python literal is text."""
    key, equals, value = text.partition("=")
    if not (equals and key.isidentifier()):
        raise ValueError(f"--calculator-args: {text!r} is not of the form key=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def find_callable(name: str) -> Callable:
    """What `module:callable` names; modules of the working directory are found too. Raises ValueError."""
    module_name, _, attribute = name.partition(":")
    if module_name.endswith(".py"):
        written = f"{Path(module_name).stem}:{attribute}"
        raise ValueError(f"{name}: names a file; write {written} in the folder of the file (module:callable)")
    find_modules_here()
    try:
        found = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise ValueError(f"{name}: cannot be imported as module:callable ({one_line(error)})") from error
    if not callable(found):
        raise ValueError(f"{name}: is a {type(found).__name__}, not callable")
    return found


def one_line(error: BaseException) -> str:
    """Type and message of an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def find_modules_here() -> None:
    """Let imports find modules of the working directory."""
    if "" not in sys.path:
        sys.path.insert(0, "")
