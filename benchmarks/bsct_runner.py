"""Scoring a checkpoint on bond scans: ours against a loop that reads and computes frame by frame.

    python benchmarks/bsct_runner.py CHECKPOINT DATA [--limit N] [--loop-limit N] [--dtype float32] [--threads 2]
        [--json FILE]

Both read the same files, compute with the same weights, precision and number of cores, and score every scan. Ours runs
twice in a process of its own each, first with an empty cache, then with what the first one left. The loop is what one
would write with ASE: `ase.io.read` of each file, `MLIPCalculator` on each frame; where `--loop-limit` takes fewer
systems than ours, its time is extrapolated by the number of atoms in all frames, and the output says so.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THIS = Path(__file__).resolve()


def ours(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds and mean FSD."""
    from mlip_design.bsct.predict import Model
    from mlip_design.bsct.scoring import score

    start = time.perf_counter()
    facts = score(
        Model(args.checkpoint, dtype=args.dtype), args.data, limit=args.limit, workers=args.threads
    ).facts
    return time.perf_counter() - start, facts["keys"]["full_smoothness"]["mean"]


def loop(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds and mean FSD of the frame-by-frame loop."""
    import ase.io
    import numpy as np
    import torch

    from mlip_design.bsct.layout import find_systems, select_systems
    from mlip_design.bsct.scan import Scan
    from mlip_design.bsct.score import score_scan
    from mlip_design.calculator import MLIPCalculator

    torch.set_num_threads(args.threads)
    chosen = select_systems(find_systems(args.data), args.data, None, args.limit)
    start = time.perf_counter()
    calculator = MLIPCalculator.from_checkpoint(args.checkpoint, dtype=args.dtype)
    smoothness = []
    for system in chosen:
        folder = args.data / system.name
        with np.load(folder / "partition.npz") as partition:
            first, last, count = partition["perturb_range"]
            bond_index = partition["bond_index"]
        lengths, frames, energies, forces = np.linspace(first, last, int(count)), [], [], []
        for i in range(int(count)):
            frames.append(ase.io.read(folder / f"atoms_{i}.xyz"))
            atoms = frames[-1].copy()
            atoms.calc = calculator
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
        labels = np.array([frame.get_potential_energy() for frame in frames])
        kept = np.flatnonzero(~np.isnan(labels))
        positions, references = (np.array([get(frames[i]) for i in kept]) for get in (positions_of, forces_of))
        scan = Scan(
            system.bond,
            system.system_id,
            frames[0].numbers,
            lengths[kept],
            positions,
            labels[kept],
            references,
            bond_index,
        )
        smoothness.append(score_scan(scan, np.array(energies)[kept], np.array(forces)[kept])["full_smoothness"])
    return time.perf_counter() - start, float(np.mean(smoothness))


def positions_of(atoms):
    """(n_atoms, 3), Å."""
    return atoms.positions


def forces_of(atoms):
    """Labels, (n_atoms, 3), eV/Å."""
    return atoms.get_forces()


def in_a_process(
    part: str, args: argparse.Namespace, limit: int | None, cache: Path
) -> tuple[float, float, float]:
    """Seconds, mean FSD (1/Å) and peak memory (GB) of a part with all processes that it starts."""
    command = [sys.executable, str(THIS), args.checkpoint, str(args.data), "--part", part, "--dtype", args.dtype]
    command += ["--threads", str(args.threads), *(["--limit", str(limit)] if limit else [])]
    environment = {**os.environ, "MLIP_DESIGN_CACHE": str(cache), "OMP_NUM_THREADS": str(args.threads)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(process.returncode)
    seconds, smoothness = map(float, process.stdout.read().split()[-2:])
    return seconds, smoothness, peak


def memory_of(session: int) -> float:
    """Memory of all processes of a session now, GB; what they share counts once."""
    kilobytes = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if os.getsid(int(entry.name)) == session:
                kilobytes += int((entry / "smaps_rollup").read_text().partition("Pss:")[2].split()[0])
    return kilobytes / 1e6


def atoms_in_frames(args: argparse.Namespace, limit: int | None) -> int:
    """What the time of both goes with."""
    from mlip_design.bsct import load_scans

    return sum(scan.positions[..., 0].size for scan in load_scans(args.data, limit=limit))


def compare(args: argparse.Namespace) -> None:
    """Run all parts and print them side by side."""
    from common import machine, report  # not in the processes that are timed

    with tempfile.TemporaryDirectory() as cache:
        cold = in_a_process("ours", args, args.limit, Path(cache))
        warm = in_a_process("ours", args, args.limit, Path(cache))
        looped = in_a_process("loop", args, args.loop_limit or args.limit, Path(cache))  # compiled kernels only
    factor = 1.0
    if args.loop_limit:
        factor = atoms_in_frames(args, args.limit) / atoms_in_frames(args, args.loop_limit)
        print(
            f"the loop took {looped[0]:.1f} s for {args.loop_limit} systems; times {factor:.2f} for the atoms of all"
        )
    print(f"{'':26}{'seconds':>9}{'faster':>8}{'FSD, 1/Å':>11}{'memory, GB':>12}")
    rows = {"frame by frame": looped, "ours, caches cold": cold, "ours again, caches warm": warm}
    found = []
    for name, (seconds, smoothness, memory) in rows.items():
        seconds *= factor if name == "frame by frame" else 1.0
        found.append({"what": name, "seconds": seconds, "smoothness": smoothness, "gigabytes": memory})
        print(f"{name:26}{seconds:9.1f}{looped[0] * factor / seconds:7.1f}x{smoothness:11.3f}{memory:12.2f}")
    report({"machine": machine("cpu", args.threads), "rows": found}, args.json)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="systems for both")
    parser.add_argument("--loop-limit", type=int, help="fewer systems for the loop, extrapolated")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--threads", type=int, default=2, help="cores: threads of the loop, processes of ours")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=("ours", "loop"), help=argparse.SUPPRESS)
    ARGUMENTS = parser.parse_args()
    if ARGUMENTS.part is None:
        compare(ARGUMENTS)
    else:
        part = {"ours": ours, "loop": loop}[ARGUMENTS.part]
        print(*part(ARGUMENTS))
