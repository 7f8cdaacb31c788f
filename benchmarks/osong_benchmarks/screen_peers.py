"""The first molecules of a screen docked by Osong and by peers, state by state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from rdkit import Chem

import osong
from osong.errors import LigandError
from osong.library import parse_record
from osong.ligands import PreparedLigand
from osong_benchmarks.child import ChildError, run_child
from osong_benchmarks.part import PartModel, Table
from osong_benchmarks.redock_programs import Program, program_named
from osong_benchmarks.screen_child import ScreenJob

__all__ = ["Screened", "peers_table", "screen_first"]

_LIMIT_S = 6 * 3600.0
_NO_STATES = "no molecule of the library can be prepared"


class Screened(PartModel):
    """One program over the first molecules.

    Attributes
    ----------
    program, engine
        Which.
    n
        Molecules, one state of each.
    maps_s, prepare_s, dock_s
        CPU seconds in all.
    error
        Why there are none; empty where there are.
    """

    program: str
    engine: str
    n: int
    maps_s: float = 0.0
    prepare_s: float = 0.0
    dock_s: float = 0.0
    error: str = ""

    @property
    def per_ligand_s(self) -> float:
        """CPU seconds a ligand, preparation included, maps not: they are made once a target."""
        return (self.prepare_s + self.dock_s) / self.n


def screen_first(
    target: osong.Target,
    library: Path,
    n: int,
    programs: Sequence[str],
    out: Path,
    say: Callable[[str], None],
    seed: int = 1,
) -> list[Screened]:
    """Dock the first state of the first molecules with every program, each in its own process.

    Parameters
    ----------
    target
        To dock into.
    library
        File of molecules.
    n
        How many.
    programs
        Names, see `PROGRAMS`.
    out
        Folder for the receptor's file.
    say
        Takes a line on each program.
    seed
        Of the search.
    """
    if not programs:
        return []
    receptor = out / "screen_receptor.pdbqt"
    receptor.parent.mkdir(parents=True, exist_ok=True)
    target.to_pdbqt(receptor)
    states = list(islice(_states(library), n))
    found = []
    for name in programs:
        screened = _screen(program_named(name), target, receptor, states, seed)
        found.append(screened)
        said = screened.error or f"{screened.per_ligand_s:.2f} CPU s a ligand"
        say(f"{name}, {len(states)} molecules: {said}")
    return found


def _states(library: Path) -> Iterator[PreparedLigand]:
    """Yield the first state of every molecule that can be prepared."""
    for record in osong.read_records(library):
        try:
            parsed = parse_record(record)
            if isinstance(parsed, PreparedLigand):
                continue  # PDBQT: peers could not prepare it again
            yield osong.prepare_ligand(parsed, name=record.name)[0]
        except LigandError:
            continue


def _screen(
    program: Program,
    target: osong.Target,
    receptor: Path,
    states: Sequence[PreparedLigand],
    seed: int,
) -> Screened:
    if not states:
        return Screened(program=program.name, engine=program.engine, n=0, error=_NO_STATES)
    mols = [state.mol() for state in states]
    job = ScreenJob(
        engine=program.engine,
        options=dict(program.options),
        receptor=str(receptor),
        center=target.box.center,
        size=target.box.size,
        smiles=tuple(Chem.MolToSmiles(Chem.RemoveHs(mol)) for mol in mols),
        mols=tuple(Chem.MolToMolBlock(mol) for mol in mols),
        seed=seed,
    )
    try:
        cpu = run_child("osong_benchmarks.screen_child", asdict(job), _LIMIT_S)
    except ChildError as error:
        return Screened(program=program.name, engine=program.engine, n=len(mols), error=str(error))
    return Screened(
        program=program.name, engine=program.engine, n=len(mols), maps_s=cpu["maps"],
        prepare_s=cpu["prepare"], dock_s=cpu["dock"],
    )  # fmt: skip


def peers_table(screened: Sequence[Screened]) -> Table:
    """Return CPU seconds a ligand of each program, and its ratio to Osong's efforts."""
    done = [s for s in screened if not s.error]
    own = [s for s in done if s.engine == "osong"]
    rows = [
        [s.program, f"{s.maps_s:.2f}", f"{1e3 * s.prepare_s / s.n:.1f}", f"{s.dock_s / s.n:.3f}",
         f"{s.per_ligand_s:.3f}", *(f"{s.per_ligand_s / o.per_ligand_s:.1f}" for o in own)]
        for s in done
    ]  # fmt: skip
    header = ["program", "maps, s, once", "prepare, ms a ligand", "dock, s a ligand",
              "both, s a ligand", *(f"times {o.program}" for o in own)]  # fmt: skip
    n = done[0].n if done else 0
    caption = (
        f"CPU seconds over the first {n} molecules, one state of each. Peers prepare with RDKit "
        "and Meeko and dock the conformer that Osong made."
    )
    return Table(header, rows, caption)
