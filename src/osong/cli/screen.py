"""`osong screen`: a whole library; the results are a campaign folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from osong.cli.campaign import print_results, stopped_hint
from osong.cli.expand import expand_options
from osong.cli.inputs import library_path
from osong.cli.options import (
    Backend,
    LibraryChoice,
    LigandChoice,
    Runner,
    ScreenEffort,
    SearchChoice,
    TargetChoice,
    WorkersOption,
)
from osong.cli.strategy_options import StrategyChoice
from osong.errors import InputError

__all__ = ["screen"]


@expand_options
def screen(
    library: Annotated[
        str,
        typer.Argument(
            metavar="LIBRARY",
            help="A file or folder of molecules, or `drugs`: approved drugs that come with Osong.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="The campaign folder: new, or to go on."
        ),
    ],
    effort: Annotated[
        ScreenEffort,
        typer.Option(
            help="How long to search each molecule; score: not at all, poses of another program "
            "are scored as they stand in LIBRARY."
        ),
    ] = "fast",
    workers: WorkersOption = None,
    runner: Annotated[
        Runner, typer.Option(help="local: several processes; serial: this one.")
    ] = "local",
    backend: Annotated[
        Backend, typer.Option(help="cuda: NVIDIA devices; auto: these where they can be used.")
    ] = "auto",
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which a molecule is given up.")
    ] = 600.0,
    rescore: Annotated[
        Literal["gnina"] | None,
        typer.Option(help="gnina: networks score the poses that are kept (osong[ml])."),
    ] = None,
    rescore_models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Networks or an ensemble for --rescore; a fast one by default."
        ),
    ] = None,
    hits: Annotated[int, typer.Option(min=1, metavar="N", help="Hits to show at the end.")] = 20,
    *,
    reading: LibraryChoice,
    target: TargetChoice,
    ligand: LigandChoice,
    search: SearchChoice,
    strategy: StrategyChoice,
) -> None:
    """Screen a library against a target; ends with the best molecules and where everything is.

    The same command again goes on where the last one stopped, or does nothing more.

    `osong screen drugs --target EGFR --out run1`

    `osong screen library.smi.gz -r 1iep.pdb.gz --ligand-box STI -o run2 --effort balanced`

    `osong screen huge.parquet -t EGFR -o run3 --strategy active --budget 2%`
    """
    from osong.campaigns import screen as run

    of_networks: dict[str, str] = {}
    if rescore is not None:
        of_networks["rescore"] = rescore
    if rescore_models is not None:
        if rescore is None:
            raise InputError("--rescore-models needs --rescore gnina")
        of_networks["rescore_models"] = rescore_models
    of_strategy = strategy.options()
    path = library_path(library)
    prepared = target.load()
    with stopped_hint(out):
        campaign = run(
            prepared,
            path,
            out=out,
            effort=effort,
            scoring=search.scoring,
            n_poses=search.n_poses,
            seed=search.seed,
            workers=workers,
            runner=runner,
            backend=backend,
            ligand_options=ligand.options(),
            molecule_timeout_s=timeout,
            **of_networks,
            **of_strategy,
            **reading.reading(),
        )
    print_results(campaign, hits)
