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


def prepare(args: argparse.Namespace) -> int:
    from mlip_design.data.prepare import prepare as write_store
    from mlip_design.report.data_terminal import print_prepared

    check_json(args.json)
    try:
        prepared = write_store(args.sources, args.destination, labels_of(args), progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; there is no store yet, the same command goes on") from None
    result = prepared.contents.as_json() | {"not_read": prepared.others}
    print_prepared(args.destination, result)
    write_json(args.json, result)
    return 1 if args.strict and result["left_out"] else 0


def info(args: argparse.Namespace) -> int:
    from mlip_design.data.survey.info import info as survey
    from mlip_design.report.data_terminal import print_info

    check_json(args.json)
    result = survey(args.sources, labels_of(args), progress=True)
    print_info(result)
    write_json(args.json, result)
    return 0


def labels_of(args: argparse.Namespace):
    from mlip_design.data.formats.contract import Labels

    return Labels(args.energy_key, args.forces_key, args.stress_key, args.group_key)


def check_json(path: Path | None) -> None:
    """Raise ValueError for a file that could not be written when the work is done."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise ValueError(f"--json: {path} cannot be a file, expected one in a folder that exists")


def add_sources(command: argparse.ArgumentParser) -> None:
    text = (
        "SPICE HDF5, MPtrj JSON, ASE database, .aselmdb, (compressed) extended XYZ, a store, or a folder of them"
    )
    command.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help=text)


def add_labels(command: argparse.ArgumentParser) -> None:
    text = "name of the energy (default: energy; SPICE dft_total_energy, MPtrj corrected_total_energy)"
    command.add_argument("--energy-key", metavar="NAME", help=text)
    text = "name of the {} in XYZ files and databases (default: {})"
    command.add_argument("--forces-key", metavar="NAME", help=text.format("forces", "forces"))
    command.add_argument("--stress-key", metavar="NAME", help=text.format("stress", "stress"))
    text = (
        "what structures of XYZ files and databases that belong together share, such as smiles (default: nothing)"
    )
    command.add_argument("--group-key", metavar="NAME", help=text)
    command.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")


def add_prepare(commands: argparse._SubParsersAction) -> None:
    text = (
        "Convert data sets of any size and format to one store for training (data=store data.path=DEST). What cannot "
        "be used is left out, counted and named. Killed, it leaves no store; the same command goes on after the last "
        "source that was done."
    )
    command = commands.add_parser("prepare", help="convert data sets to a store for training", description=text)
    add_sources(command)
    command.add_argument("destination", type=Path, metavar="DEST", help="new folder")
    add_labels(command)
    command.add_argument("--strict", action="store_true", help="status 1 if a structure was left out")
    command.set_defaults(run=prepare)


def add_info(commands: argparse._SubParsersAction) -> None:
    text = (
        "Elements, sizes, energies after per-element references, forces, outliers, duplicates and labels that look "
        "wrong, of data sets or stores."
    )
    command = commands.add_parser("info", help="say what is in a data set, and what looks wrong", description=text)
    add_sources(command)
    add_labels(command)
    command.set_defaults(run=info)


def add_data(groups: argparse._SubParsersAction) -> None:
    group = groups.add_parser("data", help="data sets", description="Data sets.")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    add_prepare(commands)
    add_info(commands)
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
