"""A store: structures in one folder of NumPy arrays, which are mapped into memory and never read as a whole.

    store.json              what is in it; written last
    sizes, groups, numbers, atom_values, graph_values .npy    the arrays of `packing.Packed`
    names.txt, groups.txt   where each structure comes from; the name of each group, empty for those without
    left_out.txt            structures of the sources that are not in it, and why

Chosen before LMDB because it needs no library, no pickle and no decoding: a structure is a slice. Processes that read
share the pages. While it is made it has a hidden name; it gets its own when everything is on the disk.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.data.packing import Packed
from mlip_design.structures import Structure, StructureError, validate

SCHEMA = 1
INDEX = "store.json"
LAYOUT: dict[str, tuple[str, tuple[int, ...]]] = {
    "sizes": ("<i8", ()),
    "groups": ("<i8", ()),
    "numbers": ("|u1", ()),
    "atom_values": ("<f8", (6,)),
    "graph_values": ("<f8", (22,)),
}
"""Array -> its type and the shape of one of its rows."""

UNITS = {"positions": "Å", "cell": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}


@dataclass(frozen=True)
class Contents:
    """What `store.json` says."""

    structures: int
    atoms: int
    groups: int
    elements: list[int]
    """Atomic numbers, ascending."""
    sources: list[str]
    labels: dict[str, str | None]
    """Names of labels that were given; the formats' own otherwise."""
    left_out: dict[str, int]
    """Kind of reason -> how many structures."""

    def as_json(self) -> dict:
        """With the version of the layout and the units."""
        return {"schema": SCHEMA, "units": UNITS, **asdict(self)}


@dataclass(frozen=True)
class Store(Packed):
    """Arrays mapped from a folder; in another process it is opened again, not copied."""

    folder: Path

    def __reduce__(self):
        return open_store, (self.folder,)


def is_store(path: Path) -> bool:
    """Whether a path is a store that was finished."""
    return (path / INDEX).is_file()


def open_store(folder: str | Path) -> Store:
    """Map the arrays of a store. Raises FileNotFoundError, StructureError."""
    folder = Path(folder)
    contents = read_contents(folder)
    lengths = {"numbers": contents.atoms, "atom_values": contents.atoms}
    arrays = {}
    for name, (kind, row) in LAYOUT.items():
        path, shape = folder / f"{name}.npy", (lengths.get(name, contents.structures), *row)
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StructureError(f"{path}: is missing or damaged ({error})") from error
        if found.shape != shape or found.dtype.str != kind:
            raise StructureError(f"{path}: is {found.dtype.str} of shape {found.shape}, not {kind} of {shape}")
        arrays[name] = found.view(np.ndarray)
    return Store(folder=folder, **arrays)


def read_contents(folder: Path) -> Contents:
    """What a store says of itself. Raises FileNotFoundError, StructureError."""
    path = folder / INDEX
    if not path.exists():
        hint = "make one by `mlip-design data prepare SOURCE ... STORE`"
        raise FileNotFoundError(f"{folder}: is no store of structures (no {INDEX}); {hint}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        schema = found.pop("schema")
        found.pop("units")
        if schema != SCHEMA:
            raise StructureError(f"{path}: is of layout {schema}, this version reads {SCHEMA}; prepare it again")
        return Contents(**found)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise StructureError(f"{path}: is not the index of a store ({error!r})") from error


def read_store(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a store, under the names that they had in their sources."""
    labels.refuse(path, "a store", "energy", "forces", "stress", "group")
    store = open_store(path)
    total = len(store.sizes)
    group_names = lines(path / "groups.txt")
    with open(path / "names.txt", encoding="utf-8") as names:
        for index, name in enumerate(names):
            group = group_names[store.groups[index]] or None
            make = partial(checked, store, index, name.rstrip("\n"), group)
            yield attempt(name.rstrip("\n"), (index + 1) / total, make)


def checked(store: Store, index: int, name: str, group: str | None) -> tuple[Structure, str | None]:
    """A structure of a store, validated again, and its group."""
    structure = store.structure(index)
    validate(structure, name)
    return structure, group


def lines(path: Path) -> list[str]:
    """The lines of a text file."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def names_of(folder: Path, indices: list[int]) -> dict[int, str]:
    """Index -> where that structure of a store comes from."""
    wanted = set(indices)
    with open(folder / "names.txt", encoding="utf-8") as names:
        found = islice(enumerate(names), max(wanted, default=-1) + 1)
        return {index: name.rstrip("\n") for index, name in found if index in wanted}
