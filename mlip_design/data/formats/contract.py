"""What a reader of a format takes and gives.

A reader is a function (path, labels) -> iterator of `Entry`, which holds one structure, or a few, in memory at a time.
What is wrong with one structure is said in its entry; what is wrong with the file is raised, by whatever error.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from mlip_design.structures import Structure, StructureError


class Entry(NamedTuple):
    """One structure of a source, or why it cannot be used."""

    name: str
    """File and place in it."""
    fraction: float
    """How much of the file was read up to here, from 0 to 1."""
    structure: Structure | None
    """In eV, Å, eV/Å, eV/Å^3; with energy and forces."""
    group: str | None = None
    """What must not be torn apart by a split, such as a molecule; None if it is alone."""
    reason: str = ""
    """Why there is no structure."""


@dataclass(frozen=True)
class Labels:
    """Names of the labels in a file; None for those that the format has by itself."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    group: str | None = None

    def refuse(self, path: Path, kind: str, *names: str) -> None:
        """Raise StructureError if one of the named labels was given, where the format `kind` leaves no choice."""
        for field in fields(self):
            if field.name in names and (given := getattr(self, field.name)) is not None:
                raise StructureError(
                    f"{path}: --{field.name}-key {given}: {kind} has its own {field.name}, leave it out"
                )


def attempt(name: str, fraction: float, make: Callable[[], tuple[Structure, str | None]]) -> Entry:
    """The entry of the structure and the group that `make` returns, or of the reason why it fails."""
    try:
        structure, group = make()
    except StructureError as error:
        return Entry(name, fraction, None, reason=str(error).removeprefix(f"{name}: "))
    except Exception as error:  # whatever reading damaged content raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Entry(name, fraction, None, reason=f"cannot be read as a structure ({reason})")
    return Entry(name, fraction, structure, group)
