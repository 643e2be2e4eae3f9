"""The bundled set: where its files are, and whether they are whole.

`manifest.json` beside the files holds their sha256; a file is compared with it once per process.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent / "bundled"
REMEDY = "reinstall mlip-design, or make the set again with `mlip-design data make-bundled`"


@cache
def manifest(root: Path = ROOT) -> dict:
    """What the set holds: files, frame counts, molecules per split, seeds, versions, units."""
    path = root / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"bundled data file {path} is missing or corrupted; {REMEDY}") from error


@cache
def bundled_path(name: str, root: Path = ROOT) -> Path:
    """Path of a bundled file such as "train.xyz.xz", after comparing it with the manifest."""
    files = manifest(root)["files"]
    if name not in files:
        raise ValueError(f"no bundled data file {name!r}; there are {', '.join(sorted(files))}")
    path = root / name
    if not path.is_file():
        raise ValueError(f"bundled data file {path} is missing; {REMEDY}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != files[name]["sha256"]:
        raise ValueError(f"bundled data file {path} is corrupted (sha256 differs from manifest.json); {REMEDY}")
    return path
