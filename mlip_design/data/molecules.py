"""The small molecules behind the bundled set: SMILES, bond graphs, and who goes to which split.

Candidates are all pairs of the fragments below and a curated list of rings, unsaturated and
multi-functional molecules: 3 to 12 atoms, at most 6 heavy ones, none of the patterns in `EXCLUDED`. SMILES
are canonical, without stereo marks, so two splits that share no SMILES share no molecule. Needs RDKit
(extra `xtb`).
"""

from collections import Counter
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from ase.data import covalent_radii

from mlip_design.bsct.building.bonds import radii_sum, sides

BOND_TYPES = ("C-C", "C-N", "C-O", "C-P", "C-S", "N-N", "N-O", "N-P", "O-P")
MIN_ATOMS, MAX_ATOMS, MAX_HEAVY = 3, 12, 6
CURATED_SHARE = 0.6  # of the molecules of a split

# Each fragment has one open bond, written as ring closure 9, so that "A.B" joins A and B by a single bond.
FRAGMENTS = """
C9 C9C C9=C C9#C C9#N C9=O C9=N C9=S C9N C9O C9F C9Cl C9S C9P C9(F)F C9(F)(F)F C9(=O)N C9(=O)O C9(=O)C C9C#N
C9=NO N9 N9C N9(C)C N9=O N9O N9N N9C=O N9=C N9=N N9OC N9C#N N9P O9 O9C O9CC O9C=O O9C=C O9N O9P O9C#N P9 P9C
P9(C)C P9O P9N P9F P9Cl P9(F)F P9OC [PH2]9=O [PH]9(=O)O [PH]9(=O)C [PH]9(=O)F S9 S9C S9CC S9C=O S9C#N
S9(=O)C S9(=O)(=O)C F9 Cl9
"""

CURATED = """
C N O P S C=O C#N C#C C=C CC C=S N=N NN NO PN PO N=O O=C=O O=C=S S=C=S N=C=O N=C=S C=C=O C=C=C CC#C C=CC=C
C#CC#C C=CC=O C=CC#N N#CC#N O=CC=O OCCO NCCO NCCS OCCF OCCCl FCCF NCC(=O)O OCC=O NCC=O NCC#N OCC#N NC(=O)N
NC(=S)N NC(=N)N NC=N CC(=N)N NC(=O)NO NC(=O)NN CC(=O)NN NC(=O)O COC=O COC(=O)C CC(=O)C CN(C)C=O CNC=O
CSC(=O)C FC(F)(F)F ClC(Cl)(Cl)Cl ClC(Cl)Cl FC(F)F FC(F)(Cl)Cl FCCl ClCCl FC=CF ClC=CCl FC(F)=C ClC#C FC#N
ClC#N FC(=O)F ClC(=O)Cl ClCC=O FCC=O CC(=O)Cl CC(=O)F FC(F)C=O CCCC CC(C)C=O CCC=O CCCO CC(C)O CCCS CC(C)F
CCC#N CC#CC CC=CC CC(=C)C C1CC1 C1CN1 C1CO1 C1CS1 C1CP1 CC1CC1 CC1CN1 CC1CO1 CN1CC1 CC1CS1 OC1CC1 NC1CC1
FC1CC1 C1=CC1 C1CCC1 C1CCO1 C1CCN1 C1CCS1 C1=CCC1 O=C1CC1 O=C1CCO1 O=C1CCN1 C1CNN1 C1NN1 CN1CO1 C1COCO1
C1=COC=C1 C1=CNC=C1 C1=CSC=C1 c1cnc[nH]1 c1cn[nH]c1 c1cnoc1 c1cocn1 c1cscn1 c1nc[nH]n1 c1nnc[nH]1 c1nnco1
c1ccccc1 c1ccncc1 c1cnccn1 c1cncnc1 c1ccnnc1 c1ncncn1 C1CC1=O NN1CC1 ON1CC1 PN1CC1 PC1CC1 CP1CC1 OP1CC1
SC1CC1 N#CC1CC1 N#CN1CC1 C[N+](=O)[O-] CON=O CN=[N+]=[N-] C=[N+]=[N-] CN=NC CN(C)N=O NN=O CN=O CC=NO CC=NN
C=NO C=NN C=NNC C=NOC CON=C CC(=O)NO CC(=O)ON NC=NO NOC=O NNC=O CONC CN(C)O CNN CNNC CN(C)N NON CNOC NCON
NCNO NCNN OCNN FCNN FCNO ClCNO ClCON FCON OCON CCON CCNO CCNN C=CNO C=CON C=CNN C#CNN C#CON N#CNN N#CNO
N#CON NNO NNP NOP PF PCl FPF ClPCl FP(F)F ClP(Cl)Cl O=P(F)(F)F O=P(Cl)(Cl)Cl OP(=O)(O)O OP(O)O O[PH](=O)O
O[PH2]=O NP(N)N NPN OPO NPO CP(=O)(O)O CP(O)O CP(N)N CP(C)N CP(C)O CP(=O)(C)O CP(=O)(F)F CP(=O)(Cl)Cl
NP(=O)(O)O NP(=O)(N)N NP(F)F NP(Cl)Cl OP(F)F OP(Cl)Cl COP(F)F COP(Cl)Cl CNP(F)F CNP(Cl)Cl CP(F)F CP(Cl)Cl
COPO COPN CNPN CNPO CN(C)P COPOC C=CP C#CP N#CP C[PH2]=O N[PH2]=O CO[PH2]=O CN[PH2]=O O=[PH](F)F OP(=O)(F)F
COP(=O)=O NP(=S)(F)F CP(=S)(F)F OP(=S)(O)O C=P CC=P C#P CC#P OCP NCP FCP ClCP SCP OCPO NCPN CCPN CCPO C=CPO
C=CPN OPC=O NPC=O PNC=O POC=O PCC=O PCC#N PCCO PCCN PC(=O)N O=S=O O=S(=O)=O CS(C)=O CS(C)(=O)=O CS(N)(=O)=O
CS(=O)O CS(=O)(=O)O CS(F)(=O)=O CS(Cl)(=O)=O NS(N)(=O)=O CSC CCS CSCC CSS CSSC CSN CSCO CSCN CSCF CSCCl
CSC#N CSC=O CSC=C CSC#C SCS SCO SCN SCC=O SCC#N SCCO SCCN FCS ClCS SC=O SC=C SC#N CC(O)=S CC(N)=S NC=S OC=S
CC=S NCS OCCS CSP
"""

EXCLUDED = ("OO", "OF", "OCl", "NF", "NCl", "SF", "SCl", "PP", "[#7][#7][#7]", "[SX2]O", "O=N[P,S]", "O=NN=O")


@dataclass(frozen=True)
class Molecule:
    """A molecule's atoms and bonds; atom indices run over heavy atoms first, then hydrogens."""

    smiles: str
    numbers: tuple[int, ...]
    symbols: tuple[str, ...]
    bonds: tuple[tuple[int, int], ...]
    acyclic: tuple[tuple[int, int], ...]  # single or double, outside rings: their two sides can move apart
    single: tuple[tuple[int, int], ...]  # the single bonds among them

    def bond_type(self, bond: tuple[int, int]) -> str:
        return "-".join(sorted(self.symbols[atom] for atom in bond))

    def scannable(self, bond_type: str) -> list[tuple[int, int]]:
        """Acyclic single bonds of this type, such as "C-N"."""
        return [bond for bond in self.single if self.bond_type(bond) == bond_type]

    def fragment(self, bond: tuple[int, int]) -> np.ndarray:
        """0 on the side of the bond's first atom, 1 on the other: integers of shape (n_atoms,)."""
        return sides(len(self.numbers), self.bonds, bond)

    def features(self) -> set[str]:
        """Elements and scannable bond types: what a split should cover."""
        return set(self.symbols) | {self.bond_type(bond) for bond in self.single} & set(BOND_TYPES)


def canonical(texts: list[str]) -> set[str]:
    """Canonical SMILES, without stereo marks, of those of the texts that may enter the set."""
    from rdkit import Chem

    excluded = [Chem.MolFromSmarts(pattern) for pattern in EXCLUDED]
    found = set()
    for text in texts:
        mol = Chem.MolFromSmiles(text)
        if mol is None:
            raise ValueError(f"candidate {text!r} is not a valid SMILES")
        n_atoms, n_heavy = Chem.AddHs(mol).GetNumAtoms(), mol.GetNumAtoms()
        small = MIN_ATOMS <= n_atoms <= MAX_ATOMS and n_heavy <= MAX_HEAVY
        if small and not any(mol.HasSubstructMatch(pattern) for pattern in excluded):
            found.add(Chem.MolToSmiles(mol, isomericSmiles=False))
    return found


def candidates() -> list[str]:
    """Canonical SMILES of every molecule that may enter the set, sorted."""
    fragments = FRAGMENTS.split()
    pairs = [f"{a}.{b}" for i, a in enumerate(fragments) for b in fragments[i:]]
    return sorted(canonical(pairs + CURATED.split()))


def describe(smiles: str) -> Molecule:
    """Atoms and bonds of a SMILES."""
    from rdkit import Chem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    plain = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE)
    pairs = [(tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))), b) for b in mol.GetBonds()]
    acyclic = [(pair, b.GetBondType()) for pair, b in pairs if not b.IsInRing() and b.GetBondType() in plain]
    return Molecule(
        smiles=smiles,
        numbers=tuple(atom.GetAtomicNum() for atom in mol.GetAtoms()),
        symbols=tuple(atom.GetSymbol() for atom in mol.GetAtoms()),
        bonds=tuple(pair for pair, _ in pairs),
        acyclic=tuple(pair for pair, _ in acyclic),
        single=tuple(pair for pair, order in acyclic if order == Chem.BondType.SINGLE),
    )


def conformer(smiles: str, seed: int) -> np.ndarray | None:
    """ETKDG positions (Å, (n_atoms, 3)) in the atom order of `describe`; None where RDKit finds none."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed % 2**31
    return None if rdDistGeom.EmbedMolecule(mol, parameters) < 0 else mol.GetConformer().GetPositions()


def intact(molecule: Molecule, positions: np.ndarray, longest: float, closest: float) -> bool:
    """Whether bonds are shorter than `longest` and other pairs longer than `closest`, in sums of radii."""
    radii = covalent_radii[list(molecule.numbers)]
    ratio = np.linalg.norm(positions[:, None] - positions, axis=-1) / (radii[:, None] + radii)
    bonded = np.eye(len(radii), dtype=bool)
    for i, j in molecule.bonds:
        bonded[i, j] = bonded[j, i] = True
    return bool((ratio[bonded] < longest).all() and (ratio[~bonded] > closest).all())


def bond_range(molecule: Molecule, bond: tuple[int, int]) -> tuple[float, float]:
    """First and last bond length (Å) of a scan: 0.5 and 2 times the sum of the covalent radii."""
    radii = radii_sum(molecule.numbers, bond)
    return 0.5 * radii, 2 * radii


def choose_scans(
    pool: list[Molecule], bond_types: tuple[str, ...], per_type: int, rng: np.random.Generator
) -> dict[str, list[Molecule]]:
    """`per_type` molecules for each bond type, rarest type first; each molecule serves once."""
    carriers = {kind: [m for m in pool if m.scannable(kind) and len(m.numbers) >= 5] for kind in bond_types}
    chosen: dict[str, list[Molecule]] = {}
    used: set[str] = set()
    for kind in sorted(bond_types, key=lambda kind: len(carriers[kind])):
        free = [m for m in carriers[kind] if m.smiles not in used]
        if len(free) < per_type:
            raise ValueError(f"{per_type} scan molecules wanted for {kind}, only {len(free)} candidates are left")
        chosen[kind] = [free[i] for i in rng.permutation(len(free))[:per_type]]
        used |= {m.smiles for m in chosen[kind]}
    return chosen


def choose(pool: list[Molecule], count: int, rng: np.random.Generator) -> list[Molecule]:
    """`count` molecules, a `CURATED_SHARE` at random from the curated list, then rare features first."""
    if len(pool) < count:
        raise ValueError(f"{count} molecules wanted, only {len(pool)} candidates are left")
    left = [pool[i] for i in rng.permutation(len(pool))]
    curated = canonical(CURATED.split())
    chosen = [m for m in left if m.smiles in curated][: round(CURATED_SHARE * count)]
    left = [m for m in left if m not in chosen]
    seen = Counter(feature for m in chosen for feature in m.features())
    while len(chosen) < count:
        # fmean is exact: the order of a set does not matter.
        best = max(left, key=lambda m: fmean(1 / (1 + seen[feature]) for feature in m.features()))
        left.remove(best)
        chosen.append(best)
        seen.update(best.features())
    return chosen
