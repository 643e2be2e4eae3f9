"""`mlip-design data ...`: data sets."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import need, positive, write_json


def make_bundled(args: argparse.Namespace) -> int:
    need("rdkit", "tblite")
    from mlip_design.data import make_bundled as bundled

    work = args.out.with_name(args.out.name + "_work") if args.work is None else args.work
    manifest = bundled.make_bundled(args.out, work, bundled.Plan(seed=args.seed), args.jobs)
    for name, count in manifest["frames"].items():
        print(f"{name:11} {count:6d} frames of {len(manifest['molecules'][name])} molecules")
    for reason, count in manifest["dropped"].items():
        print(f"dropped     {count:6d} {reason}")
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    print(f"{size / 1e6:.2f} MB in {args.out}")
    write_json(args.json, manifest)
    return 0


def add_data(groups: argparse._SubParsersAction) -> None:
    group = groups.add_parser("data", help="data sets", description="Data sets.")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    text = "Generate the bundled set with GFN2-xTB: about 15 minutes on two cores, resumable."
    command = commands.add_parser("make-bundled", help="generate the bundled set with GFN2-xTB", description=text)
    command.add_argument(
        "--out", type=Path, default=Path("bundled_data"), help="new folder (default: %(default)s)"
    )
    command.add_argument("--work", type=Path, help="folder for intermediate results (default: OUT_work)")
    command.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    command.add_argument("--jobs", type=positive, default=2, help="processes (default: %(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the manifest to FILE")
    command.set_defaults(run=make_bundled)
