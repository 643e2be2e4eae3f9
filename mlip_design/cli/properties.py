"""`mlip-design properties`: relaxation, vibrations, curves, elasticity, phonons by a model, beside a reference."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import check_json, check_out, need, positive

OTHER_PAGES = ("results.json", "comparison.json", "result.json", "build.json")


def properties(args: argparse.Namespace) -> int:
    from mlip_design.bsct.building.recipe import from_files
    from mlip_design.bsct.result import save_facts
    from mlip_design.evaluator import open_evaluator
    from mlip_design.properties.case import Settings
    from mlip_design.properties.kinds import chosen
    from mlip_design.properties.run import DONE, FAILED, run
    from mlip_design.report.properties_page import write_properties_page
    from mlip_design.report.properties_terminal import print_properties

    names = chosen(args.properties)
    settings = Settings(args.fmax, args.steps)
    check_out(args.out, *OTHER_PAGES)
    check_json(args.json)
    sources = from_files(args.structures)
    if "phonons" in names and any(source.structure.pbc.all() for source in sources):
        need("phonopy")
    model = open_evaluator(args.model, args.calculator_args, args.device, args.dtype)
    try:
        reference = open_evaluator(args.reference, args.reference_args, args.device, args.dtype)
    except ValueError as error:
        raise ValueError(str(error).replace("--calculator-args", "--reference-args")) from error
    try:
        facts = run(model, reference, sources, names, settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on where it was") from None
    if args.out is not None:
        save_facts(args.out / "properties.json", facts)
        write_properties_page(args.out / "report.html", facts)
    if args.json is not None:
        save_facts(args.json, facts)
    print_properties(facts, args.out)
    return 0 if facts["counts"][DONE] and not facts["counts"][FAILED] else 1


def add_properties(groups: argparse._SubParsersAction) -> None:
    text = (
        "Compute properties of molecules and crystals by a model and compare them with those by a reference, such as "
        "GFN2-xTB (tblite.ase:TBLite) for molecules or EMT (ase.calculators.emt:EMT) for metals. What is finished is "
        "kept in a cache: stopped or killed, the same command goes on where it was. Exit status 0: all computed; 1: "
        "some failed, or there was nothing to compute; 2: bad input."
    )
    command = groups.add_parser("properties", help="compare properties with a reference", description=text)
    add = command.add_argument
    add("model", metavar="MODEL", help="checkpoint, run folder or ASE calculator as module:callable")
    text = "molecules and crystals, files that ASE reads"
    add("--structures", nargs="+", required=True, metavar="FILE", help=text)
    text = "what to compare with: ASE calculator, checkpoint or run folder"
    add("--reference", required=True, metavar="MODULE:CALLABLE", help=text)
    text = "of molecules: relax, vibrations, torsion, dimer, atomisation; of crystals: eos (equation of state), "
    text += "elastic, phonons (extra phonons); several with commas, or all (default)"
    add("--properties", default="all", metavar="NAMES", help=text)
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the model's callable")
    add(
        "--reference-args",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="arguments of the reference's callable",
    )
    text = "a structure is relaxed when no force is larger, eV/Å (default: %(default)s)"
    add("--fmax", type=float, default=0.001, metavar="FORCE", help=text)
    text = "steps of a relaxation at most (default: %(default)s)"
    add("--steps", type=positive, default=500, metavar="N", help=text)
    add("--device", default="cpu", help="of a checkpoint (default: %(default)s)")
    text = "of a checkpoint (default: %(default)s)"
    add("--dtype", choices=("float64", "float32"), default="float64", help=text)
    add("--out", type=Path, metavar="DIR", help="folder for properties.json and report.html, a page of the curves")
    add("--json", type=Path, metavar="FILE", help="write properties.json to FILE, too")
    command.set_defaults(run=properties)
