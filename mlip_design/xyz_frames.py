"""XYZ files, plain or extended, cut into the texts of their frames; none is lost without a word.

ASE takes an empty line for the end, whatever follows, and counts up to any number of atoms, there or not.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ase.io.extxyz import key_val_str_to_dict

CELL = "VEC"
"""How lines begin that may follow the atoms of a frame and belong to it."""
MOST_COLUMNS = 10_000
"""Of an atom, that a header may announce."""


class FrameError(ValueError):
    """Where a file stops being a sequence of frames; the message names the frame."""


def frame_texts(lines: Iterable[str]) -> Iterator[str]:
    """The text of each frame. Raises FrameError unless the atom counts lead from frame to frame to the end."""
    lines = iter(lines)
    frame: list[str] = []
    index = 0
    for line in lines:
        if frame and line.lstrip().startswith(CELL):
            frame.append(line)
            continue
        if frame:
            yield "".join(frame)
            frame, index = [], index + 1
        if not line.strip():
            if any(rest.strip() for rest in lines):
                raise FrameError(f"frame {index}: an empty line where a frame should begin")
        else:
            frame = [line, *rows(lines, line, index)]
    if frame:
        yield "".join(frame)


def rows(lines: Iterator[str], count: str, index: int) -> list[str]:
    """The comment and the atoms of a frame whose first line is `count`."""
    if not re.fullmatch(r"\s*\d+\s*", count):
        raise FrameError(f"frame {index}: {count.strip()[:40]!r} is no number of atoms")
    found = list(islice(lines, int(count) + 1))
    if len(found) < int(count) + 1:
        raise FrameError(f"frame {index}: the file ends within its {int(count)} atoms")
    return found


def properties(header: str) -> dict[str, Any]:
    """The keys of an extended XYZ header, for ASE, which makes ready for any number of columns that is announced.

    Raises FrameError where these would fill the memory.
    """
    found = key_val_str_to_dict(header)
    columns = str(found.get("Properties", "")).split(":")[2::3]
    if (most := max(map(int, columns), default=0)) > MOST_COLUMNS:
        raise FrameError(f"Properties announces {most} columns, at most {MOST_COLUMNS} are read")
    return found
