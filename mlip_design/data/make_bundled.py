"""Generator of the bundled set: small molecules of H C N O F P S Cl with GFN2-xTB energies and forces.

Stages, each resumable from the work folder; one seed per molecule and purpose, derived from `Plan.seed`:
1. relax every candidate (`molecules.candidates`) from an ETKDG conformer; keep those whose bonds survive it;
2. choose molecules: scans first (rarest bond type first), then two sets of new molecules, then training;
3. sample: the relaxed structure; thermal frames from Langevin dynamics; bond frames, where the two sides of
   an acyclic bond move apart or together by equal amounts, from relaxed and from 300-600 K structures, about
   half of them within 0.2 Å of the starting length, the others uniform in 0.5 to 2 times the radii sum;
4. scans: 100 equally spaced bond lengths in that range, from a 500 K structure (the published scans start
   from structures with a median largest force component of 2.5 eV/Å, which is what 500 K gives);
5. write extended XYZ, tar archives in the published BSCT layout, and `manifest.json`.

Labels: GFN2-xTB at the positions as stored (1e-4 Å; scans 1e-5 Å), 300 K electronic temperature, neutral,
closed shell, each from a fresh start so that a label depends on its frame only. Energies in eV to 1e-6,
forces in eV/Å to 1e-4. Left out and counted: frames whose calculation does not converge, frames with a
force component above `frames.MAX_FORCE`, thermal frames with a broken or new bond. Scans keep every frame; a
molecule whose scan does not converge, or whose forces jump, gives its place to a spare one.

Units: eV, Å, fs, K. Needs RDKit and tblite (extra `xtb`).
"""

import json
from collections import Counter
from functools import partial
from pathlib import Path

from mlip_design.data.bundling.files import write_set
from mlip_design.data.bundling.frames import relax, sample, scan
from mlip_design.data.bundling.jobs import run_all, workers
from mlip_design.data.bundling.plan import (
    Plan,
    assign,
    plan_samples,
    plan_scans,
    seed_of,
    split_samples,
    split_scans,
)
from mlip_design.data.molecules import candidates, describe


def make_bundled(out: Path, work: Path, plan: Plan, n_jobs: int, smiles: list[str] | None = None) -> dict:
    """Generate the set into `out`, which must be new or empty, and return its manifest."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"output folder {out} is not empty; name a new one")
    smiles = candidates() if smiles is None else smiles
    with workers(n_jobs) as pool:
        run = partial(run_all, pool, work)
        shapes = run(relax, [(s, seed_of(plan.seed, "relax", s)) for s in smiles])
        relaxed = {s: r["positions"] for s, r in zip(smiles, shapes, strict=True) if "positions" in r}
        molecules = assign([describe(s) for s in relaxed], plan)
        scan_jobs = plan_scans(molecules, relaxed, plan)
        scans = run(scan, scan_jobs)
        sample_jobs = plan_samples(molecules, relaxed, plan)
        samples = run(sample, [job for _, job in sample_jobs])

    dropped = Counter(str(r["reason"]) for r in shapes + scans if str(r["reason"]))
    for result in samples:
        dropped.update(json.loads(str(result["dropped"])))
    frames = split_samples(sample_jobs, samples, dropped)
    return write_set(out, plan, frames, split_scans(scan_jobs, scans, plan), dropped)
