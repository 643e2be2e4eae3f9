"""`mlip-design build-scans`: a BSCT set of a user's own structures at a user's own level of theory."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import check_json, need, positive, write_json

KINDS = ("bond", "angle", "torsion", "approach", "atom", "volume")


def build_scans(args: argparse.Namespace) -> int:
    from mlip_design.bsct.building.kinds import usual_range
    from mlip_design.bsct.building.recipe import Recipe, bond_types, from_files, from_smiles
    from mlip_design.bsct.building.run import build_scans as build
    from mlip_design.report.build_terminal import print_build

    if not (args.structures or args.smiles):
        raise ValueError("give --structures FILE ... or --smiles TEXT ...")
    if args.smiles:
        need("rdkit")
    check_json(args.json)
    recipe = Recipe(
        kind=args.kind,
        range=usual_range(args.kind, args.range),
        frames=args.frames,
        radii_factor=args.radii_factor,
        bonds=bond_types(args.bonds),
        relax=args.relax,
        calculator=args.calculator,
        arguments=tuple(args.calculator_args),
    )
    sources = from_files(args.structures) + from_smiles(args.smiles, args.seed)
    result = build(args.out, recipe, sources, args.workers)
    print_build(args.out, result)
    write_json(args.json, result)
    return 0 if result["systems"] else 1


def add_build_scans(groups: argparse._SubParsersAction) -> None:
    text = "Make scans in the published BSCT layout. Stopped or killed, the same command goes on where it was."
    command = groups.add_parser(
        "build-scans", help="make a BSCT set at your own level of theory", description=text
    )
    add = command.add_argument
    add("--structures", nargs="+", default=[], metavar="FILE", help="files of structures, any that ASE reads")
    add("--smiles", nargs="+", default=[], metavar="TEXT", help="molecules as SMILES (extra xtb)")
    add("--calculator", required=True, metavar="MODULE:CALLABLE", help="ASE calculator, checkpoint or run folder")
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the callable")
    add("--out", type=Path, required=True, metavar="DIR", help="new folder, or one to go on with")
    add(
        "--kind",
        choices=KINDS,
        default="bond",
        help="what is moved; atom, volume: of crystals (default: %(default)s)",
    )
    text = "relax first, to forces below 0.01 eV/Å in at most 500 steps of BFGS (default: yes)"
    add("--relax", action=argparse.BooleanOptionalAction, default=True, help=text)
    text = "sums of the covalent radii (bond: 0.5 2, approach: 1 4, atom: 0.6 1.2) or degrees (angle: 60 170, "
    text += "torsion: 2 358) or volumes of the start structure (volume: 0.8 1.3)"
    add("--range", nargs=2, type=float, metavar=("FIRST", "LAST"), help=text)
    add("--frames", type=positive, default=100, help="frames of a scan (default: %(default)s)")
    text = "atoms are bonded below this many sums of their covalent radii (default: %(default)s)"
    add("--radii-factor", type=float, default=1.3, help=text)
    text = "bond types such as C-C,N-O; heavy: all without hydrogen, as published; all (default: %(default)s)"
    add("--bonds", default="heavy", metavar="TYPES", help=text)
    add("--workers", type=positive, default=1, metavar="N", help="processes (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the conformers of SMILES (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    command.set_defaults(run=build_scans)
