"""Does every `_target_` of the configuration take the arguments it is given, in name and type?

Hydra finds out only when it calls the target, which for a partial one is in the middle of a run.
"""

import inspect
import re
from collections.abc import Iterator
from difflib import get_close_matches
from enum import Enum
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import _locate
from omegaconf import DictConfig, OmegaConf

from mlip_design.config import PARTS
from mlip_design.ranges import check_ranges

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}
NO_ARGUMENTS = {f"model.{part}" for part in PARTS}


def check_arguments(config: DictConfig) -> None:
    """Raise ValueError naming a key that its `_target_` does not take, or a value of a wrong type or size."""
    for path, node in nodes_with_target(OmegaConf.to_container(config, resolve=False)):
        target = found_target(node["_target_"], path)
        accepted, annotations = parameters_of(target)
        for key, written in node.items():
            if key.startswith("_") or f"{path}.{key}" in NO_ARGUMENTS:
                continue
            if accepted is not None and key not in accepted:
                close = get_close_matches(key, accepted, n=1)
                listed = f"; it takes {', '.join(accepted)}" if 0 < len(accepted) < 12 else ""
                hint = f"; did you mean {close[0]!r}?" if close else listed
                raise ValueError(f"{path}.{key}: {node['_target_']} has no such argument{hint}")
            value = OmegaConf.select(config, f"{path}.{key}", throw_on_missing=True)
            is_scalar = value is None or isinstance(value, bool | int | float | str)
            if is_scalar and not fits(value, annotations.get(key, Any)):
                raise ValueError(
                    f"{name_of(f'{path}.{key}', written)}: {value!r} is not {in_words(annotations[key])}"
                )
    check_ranges(config)


def nodes_with_target(value: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """(dotted path, node) of every mapping with a `_target_`, of a plain nested container."""
    if isinstance(value, dict) and "_target_" in value:
        yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes_with_target(child, f"{path}.{key}" if path else str(key))


def found_target(name: str, path: str) -> Any:
    """The object of a dotted name."""
    try:
        return _locate(name)
    except Exception as error:  # whatever importing a module of that name raises
        raise ValueError(f"{path}._target_: cannot find {name!r} ({error.__cause__ or error})") from error


def parameters_of(target: Any) -> tuple[list[str] | None, dict[str, Any]]:
    """Names of the arguments a target takes, None for any, and their annotations as far as they can be found."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return None, {}
    try:
        annotations = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # annotations that name what exists for type checkers only
        annotations = {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None, annotations
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, annotations


def fits(value: bool | int | float | str | None, annotation: Any) -> bool:
    """Whether a value from a YAML file is what an annotation asks for; True where that cannot be told."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(fits(value, choice) for choice in get_args(annotation))
    if origin is Literal:
        return value in get_args(annotation)
    if origin is Annotated:
        return fits(value, get_args(annotation)[0])
    if annotation is Any or isinstance(annotation, str | TypeVar | ForwardRef):
        return True
    if annotation in (int, float):
        return isinstance(value, int if annotation is int else int | float) and not isinstance(value, bool)
    kind = NoneType if annotation is None else origin or annotation
    if not isinstance(kind, type) or issubclass(kind, Enum):
        return True
    return isinstance(value, kind) or (isinstance(value, str) and issubclass(kind, PathLike))


def in_words(annotation: Any) -> str:
    """What an annotation asks for, such as 'a whole number or null'."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(in_words(choice) for choice in get_args(annotation)))
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    return WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation))


def name_of(key: str, written: Any) -> str:
    """The key a person would change: where `key` only refers to another one, that one."""
    reference = re.fullmatch(r"\$\{([\w.]+)\}", written) if isinstance(written, str) else None
    return reference.group(1) if reference else key
