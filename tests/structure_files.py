"""Files of structures as text, for the tests of reading them."""

HEADER = 'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy} pbc="{pbc}"'


def extxyz(
    positions: tuple[str, ...] = ("0 0 0", "0 0 1.1"),
    cell: str = "9 0 0 0 9 0 0 0 9",
    pbc: str = "F F F",
    energy: str = "-1.5",
    forces: str = "0 0 0.1",
    symbol: str = "H",
) -> str:
    """The text of a frame."""
    rows = [f"{symbol} {row} {forces}" for row in positions]
    return "\n".join([str(len(rows)), HEADER.format(cell=cell, pbc=pbc, energy=energy), *rows]) + "\n"
