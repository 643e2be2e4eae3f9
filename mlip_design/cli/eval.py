"""`mlip-design eval`: errors of any model on any set of structures."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import add_allow, check_json, check_model_options, check_out, positive

XYZ = (".xyz", ".extxyz")
FILES = ("report.html", "predictions.xyz", "evaluation.json")


def evaluate(args: argparse.Namespace) -> int:
    from mlip_design.bsct.result import save_facts
    from mlip_design.data.formats.contract import Labels
    from mlip_design.evaluation.evaluate import evaluate as run
    from mlip_design.evaluator import open_evaluator
    from mlip_design.report.eval_page import write_eval_page
    from mlip_design.report.eval_terminal import print_evaluation
    from mlip_design.run_folder import remove_empty

    check_model_options(args)
    predictions = predictions_of(args.out, args.source)
    check_json(args.json)
    options = (args.device or "cpu", args.dtype or "float64", args.max_atoms, args.allow)
    evaluator = open_evaluator(args.model, args.calculator_args, *options)
    labels = Labels(args.energy_key, args.forces_key, args.stress_key, args.group_by)
    try:
        evaluation = run(evaluator, args.source, labels, predictions, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on where it was") from None
    finally:
        remove_empty(predictions.parent)
    facts = evaluation.facts
    if predictions != args.out:
        save_facts(args.out / "evaluation.json", facts)
        write_eval_page(args.out, evaluation)
    if args.json is not None:
        save_facts(args.json, facts)
    print_evaluation(facts)
    print(f"\nwritten  {args.out}{'' if predictions == args.out else ': ' + ', '.join(FILES)}")
    return 1 if (args.strict and (facts["failed"] or facts["left_out"])) or not facts["predicted"] else 0


def predictions_of(out: Path, source: Path) -> Path:
    """Where --out wants the predictions. Raises ValueError where something else would be written over."""
    if out.suffix in XYZ:
        if out.exists():
            raise ValueError(f"--out: {out} exists already; choose another name")
        return out
    check_out(out, "results.json", "result.json", "comparison.json", "store.json")
    path = out / "predictions.xyz"
    if path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"--out: {path} would be written over what is read; choose another")
    return path


def add_eval(groups: argparse._SubParsersAction) -> None:
    text = (
        "Predict structures and compare with their labels, where they have them: errors of energy, forces and stress, "
        "over all, by element and by group, plots, the worst structures. Stopped or killed, the same command goes on "
        "where it was."
    )
    command = groups.add_parser("eval", help="errors of a model on a set of structures", description=text)
    add = command.add_argument
    add(
        "model",
        metavar="MODEL",
        help="checkpoint, run folder, exported model, or ASE calculator as module:callable",
    )
    text = (
        "structures in any format of `mlip-design data prepare`, a store, or a folder; labels are optional in XYZ"
    )
    add("source", type=Path, metavar="FILE", help=text)
    text = "folder for report.html, predictions.xyz and evaluation.json, or FILE.xyz for the predictions alone"
    add("--out", type=Path, required=True, metavar="OUT", help=text)
    add("--json", type=Path, metavar="FILE", help="write evaluation.json to FILE, too")
    text = (
        "errors of structures that share this key of XYZ files and databases (default: config_type of XYZ files)"
    )
    add("--group-by", "--group-key", metavar="KEY", help=text)
    for name in ("energy", "forces", "stress"):
        add(f"--{name}-key", metavar="NAME", help=f"name of the {name} in the file")
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the callable")
    add("--device", help="where a checkpoint computes (default: cpu)")
    add("--dtype", choices=("float64", "float32"), help="precision of a checkpoint (default: float64)")
    add("--max-atoms", type=positive, default=512, metavar="N", help="predicted at once (default: %(default)s)")
    add_allow(command)
    add("--strict", action="store_true", help="status 1 if a structure has no prediction or was left out")
    command.set_defaults(run=evaluate)
