"""A build of scans of the volume with EMT, made once a session, for the tests of building and scoring them."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import ase.io
from ase.build import bulk, molecule
from test_build_scans import EMT_NAME

from mlip_design.bsct import Scan, load_scans
from mlip_design.cli import main

N_FRAMES = 11
COPPER, ALLOY = "volume_Cu/0000", "volume_Au-Cu/0001"


def alloy() -> ase.Atoms:
    """Four atoms without symmetry, in a cell with three different edges and angles."""
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[2:] = "Au"
    atoms.rattle(0.1, seed=5)
    atoms.set_cell(atoms.cell[:] @ [[1.0, 0.05, 0.0], [0.0, 1.03, 0.0], [0.02, 0.0, 0.97]], scale_atoms=True)
    return atoms


def command(out: Path, calculator: str, *arguments: str) -> list[str]:
    """A build of copper, of one atom, an alloy, and a molecule that is left out."""
    structures = [bulk("Cu", "fcc", a=3.6), alloy(), molecule("H2O")]
    ase.io.write(out.parent / "in.xyz", structures, format="extxyz")
    asked = ["--structures", str(out.parent / "in.xyz"), "--kind", "volume", "--no-relax"]
    theory = ["--frames", str(N_FRAMES), "--calculator", calculator]
    return ["build-scans", *asked, *theory, *arguments, "--out", str(out)]


@cache
def built() -> Path:
    """The folder."""
    folder = Path(tempfile.mkdtemp(prefix="volume_scans"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    assert main(command(folder / "out", EMT_NAME)) == 0
    return folder / "out"


@cache
def scans() -> dict[str, Scan]:
    """What is in it, by name."""
    return {scan.name: scan for scan in load_scans(built())}


def atoms_of(scan: Scan, frame: int, calculator=None) -> ase.Atoms:
    """A frame of a scan of a crystal."""
    return ase.Atoms(scan.numbers, scan.positions[frame], cell=scan.cells[frame], pbc=True, calculator=calculator)
