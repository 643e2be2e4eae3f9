"""What the answers of a Python callable depend on: source files, versions of packages, files that arguments name."""

import ast
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from glob import glob
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from mlip_design.stored_model import BEST, DESCRIPTION, WEIGHTS


def dependencies(name: str, function: Callable, arguments: Mapping[str, Any]) -> list[bytes]:
    """Contents to hash: all that is known of a function, found as `module:callable`, and its keyword arguments."""
    inner = inspect.unwrap(function.func if isinstance(function, partial) else function)
    modules = [name.partition(":")[0], getattr(inner, "__module__", None) or ""]
    homes = [getattr(sys.modules.get(module), "__file__", None) for module in modules]
    files, imported = sources(modules)
    given = [function, *sorted(arguments.items())]
    known = re.sub(" at 0x[0-9a-f]+", "", repr([name, given, versions(imported)]))
    return [known.encode(), *(file.read_bytes() for file in (*files, *named_files([homes, given])))]


def sources(modules: Iterable[str]) -> tuple[list[Path], set[str]]:
    """Source files of modules and of all that these import, and the names of all modules met on the way.

    Only files that are neither Python's own nor installed; they are read, not run: what one imports by a computed name
    is not found.
    """
    folders = [Path(folder) for folder in sys.path if is_own(Path(folder).absolute())]
    files, met, waiting = {}, set(), list(modules)
    while waiting:
        name = waiting.pop()
        if not name or name in met:
            continue
        met.add(name)
        waiting.append(name.rpartition(".")[0])
        places = [folder.joinpath(*name.split(".")) for folder in folders]
        candidates = (
            file for place in places for file in (place / "__init__.py", place.with_name(place.name + ".py"))
        )
        file = next(filter(os.path.isfile, candidates), None)
        if file is not None:
            files[name] = file
            waiting += imported(file, name if file.name == "__init__.py" else name.rpartition(".")[0])
    return [files[name] for name in sorted(files)], met


def is_own(folder: Path) -> bool:
    """Whether the modules of a folder are neither Python's nor installed there."""
    installed = {"site-packages", "dist-packages"} & set(folder.parts) or any(folder.glob("*.dist-info"))
    return not (installed or folder.is_relative_to(sysconfig.get_path("stdlib")))


def imported(file: Path, package: str) -> Iterator[str]:
    """Names that a source file of a package imports, those of its functions, too; not all of them are modules."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, node.module or ""]).strip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def versions(modules: Iterable[str]) -> list[str]:
    """Name and version of the installed packages that modules belong to."""
    packages = packages_distributions()
    found = {package for module in modules for package in packages.get(module.partition(".")[0], ())}
    return [f"{package} {version(package)}" for package in sorted(found)]


def named_files(value: Any) -> Iterator[Path]:
    """Files that texts in nested lists, tuples and dicts name: by path, by glob pattern, or as folder of a run."""
    if isinstance(value, str | os.PathLike):
        paths = {os.fspath(value), *glob(os.fspath(value))}
        candidates = (Path(path, part) for path in sorted(paths) for part in ("", BEST, DESCRIPTION, WEIGHTS))
        yield from filter(os.path.isfile, candidates)
    elif isinstance(value, Mapping | list | tuple | partial):
        if isinstance(value, partial):
            value = [value.func, *value.args, value.keywords]
        for part in value.items() if isinstance(value, Mapping) else value:
            yield from named_files(part)
