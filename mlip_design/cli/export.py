"""`mlip-design export`: a potential as a folder for others."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import add_allow, check_json, write_json


def export(args: argparse.Namespace) -> int:
    from mlip_design.export import export as write_model

    check_json(args.json)
    described = write_model(args.run_folder, args.destination, args.allow)
    size = f"{described['parameters']:,} parameters, {described['precision']}"
    print(f"{size}, cutoff {described['cutoff']:g} Å: {' '.join(described['elements'])}")
    print(f"{args.destination}: model.yaml, model.safetensors")
    write_json(args.json, described)
    return 0


def add_export(groups: argparse._SubParsersAction) -> None:
    text = (
        "Write a potential as weights in safetensors and plain YAML, which cannot carry code, into a new folder. The "
        "folder is a MODEL for every command, the ASE calculator and the torch-sim model."
    )
    command = groups.add_parser("export", help="write a potential for others", description=text)
    command.add_argument("run_folder", type=Path, metavar="RUN", help="run folder or checkpoint")
    command.add_argument("destination", type=Path, metavar="DEST", help="new folder")
    add_allow(command)
    command.add_argument("--json", type=Path, metavar="FILE", help="also write model.yaml's content to FILE")
    command.set_defaults(run=export)
