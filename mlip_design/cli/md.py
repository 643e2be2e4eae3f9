"""`mlip-design md`: dynamics of structures with any model."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import add_allow, check_json, check_model_options, positive


def md(args: argparse.Namespace) -> int:
    from mlip_design.bsct.result import save_facts
    from mlip_design.dynamics.run import Question, run, run_time_steps
    from mlip_design.dynamics.terminal import print_dynamics, print_time_steps
    from mlip_design.evaluator import open_evaluator
    from mlip_design.structures import read_geometries

    check_model_options(args)
    check_json(args.json)
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out: {args.out} is a file, expected a folder or a new name")
    protocol = protocol_of(args)
    structures = list(read_geometries(args.structures))
    where, precision = args.device or "cpu", args.dtype or "float64"
    evaluator = open_evaluator(args.model, args.calculator_args, where, precision, allow=args.allow)
    work, show = (run_time_steps, print_time_steps) if args.time_step_test else (run, print_dynamics)
    seeds = list(range(1, args.seeds + 1))
    try:
        facts = work(Question(evaluator, structures, protocol, seeds, args.max_atoms), args.out, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on where it was") from None
    if args.json is not None:
        save_facts(args.json, facts)
    show(facts, args.out)
    passed = facts["time_step_test"]["smooth"] if args.time_step_test else facts["summary"]["survival"] == 1
    return 0 if passed else 1


def protocol_of(args: argparse.Namespace):
    """The protocol that was named, with what else was said. Raises ValueError."""
    from dataclasses import replace

    from mlip_design.dynamics.protocol import PROTOCOLS

    named = PROTOCOLS[args.protocol]
    if args.steps is not None and args.picoseconds is not None:
        raise ValueError("--steps, --picoseconds: both say how long; leave one out")
    names = ("ensemble", "temperature", "final_temperature", "time_step", "steps", "friction")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if "ensemble" in said and said["ensemble"] == "nve" and "final_temperature" not in said:
        said["final_temperature"] = None
    time_step = said.get("time_step", named.time_step)
    if args.picoseconds is not None and time_step > 0:
        said["steps"] = steps_of(args.picoseconds, time_step)
    if args.time_step_test and said.get("ensemble", named.ensemble) != "nve":
        raise ValueError("--time-step-test: energy is conserved in nve only; leave langevin and heating out")
    if args.time_step_test and args.dtype == "float32":
        raise ValueError("--time-step-test: rounding of float32 looks like jumps; leave --dtype out")
    return replace(named, relax=not args.no_relax, **said)


def steps_of(picoseconds: float, time_step: float) -> int:
    """Steps of so many fs in a time. Raises ValueError for one that has none, or no end."""
    steps = 1000 * picoseconds / time_step
    if not 1 <= steps < 1e12:
        raise ValueError(f"--picoseconds: {picoseconds:g} is not a time of at least one step of {time_step:g} fs")
    return round(steps)


def add_md(groups: argparse._SubParsersAction) -> None:
    text = (
        "Relax structures, give them velocities, and simulate all of them at once: is energy conserved, does the "
        "temperature leap, do bonds hold, which trajectories survive? With --time-step-test: is the model smooth where "
        "dynamics goes, with no reference? Stopped or killed, the same command goes on where it was. Exit status 0: "
        "all trajectories survived, or the model is smooth; 1: not so."
    )
    command = groups.add_parser("md", help="molecular dynamics: drift, stability, smoothness", description=text)
    add = command.add_argument
    add("model", metavar="MODEL", help="checkpoint, run folder, or ASE calculator as module:callable")
    add("--structures", type=Path, required=True, metavar="FILE", help="structures, any file that ASE reads")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of trajectories, result.json and figure")
    text = "molecules: nve, 300 K, 0.5 fs, 1 ps (default); hot: 500 K; crystals: 1 fs, 2 ps; heating: 50 to 1000 K"
    add("--protocol", choices=("molecules", "hot", "crystals", "heating"), default="molecules", help=text)
    add("--ensemble", choices=("nve", "langevin"), help="constant energy, or a thermostat")
    add("--temperature", type=float, metavar="K", help="of the velocities at the start, and of the thermostat")
    add("--final-temperature", type=float, metavar="K", help="of the thermostat at the end, for a ramp")
    add("--friction", type=float, metavar="F", help="of the thermostat, 1/fs (default: 0.01)")
    add("--time-step", type=float, metavar="FS", help="fs")
    add("--steps", type=positive, metavar="N", help="how many")
    add("--picoseconds", type=float, metavar="PS", help="how long, in place of --steps")
    add("--seeds", type=positive, default=1, metavar="N", help="trajectories of every structure (default: 1)")
    add("--no-relax", action="store_true", help="start from the structures as they are")
    text = "the same at 2, 1, 1/2 and 1/4 of the time step: does the energy's deviation fall with its square?"
    add("--time-step-test", action="store_true", help=text)
    add("--json", type=Path, metavar="FILE", help="write result.json to FILE, too")
    add("--device", help="where a checkpoint computes (default: cpu)")
    add("--dtype", choices=("float64", "float32"), help="precision of a checkpoint's forces (default: float64)")
    text = "that move at once; more for a GPU (default: %(default)s)"
    add("--max-atoms", type=positive, default=512, metavar="N", help=text)
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the callable")
    add_allow(command)
    command.set_defaults(run=md)
