"""`osong plan`: what a campaign file would cost, before anything runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osong.cli.terminal import console, error_console
from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["plan"]


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A campaign file (TOML).")],
    site: Annotated[
        str,
        typer.Option(
            "--site", "-s", metavar="NAME", envvar="OSONG_SITE", help="The cluster; here if not."
        ),
    ] = "",
    nodes: Annotated[
        int | None, typer.Option("--nodes", "-N", min=1, metavar="N", help="Nodes in all.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Dock so many molecules, to measure how long one takes here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what a campaign would cost: molecules, files, disk, memory, hours; nothing is written.

    What cannot be is said, a line each, and the exit code is 1.

    `osong plan egfr.toml`

    `osong plan egfr.toml --site generic --nodes 4 --sample 50`
    """
    from osong.campaigns import workflows

    flows = workflows()
    try:
        profile = flows.load_site(site) if site else None
        with _progress(sample) as subscriber:
            planned = flows.plan_campaign(
                file, site=profile, nodes=nodes, sample=sample, subscribers=[subscriber]
            )
    except InputError as error:
        # A campaign file that is wrong in several ways has a line for each.
        problems = getattr(error, "problems", ())
        if len(problems) < 2:
            raise
        _refuse(problems)
    if as_json:
        typer.echo(planned.model_dump_json(indent=1))
    else:
        out = console()
        for part in flows.plan_view(planned):
            out.print(part, soft_wrap=isinstance(part, str))
    if planned.problems:
        _refuse(planned.problems)


def _refuse(problems: "tuple[str, ...]") -> None:
    """Print what is wrong, a line each, and end with the exit code of an error."""
    for problem in problems:
        typer.secho("osong: error", err=True, bold=True, fg="red", nl=False)
        typer.echo(f": {' '.join(problem.split())}", err=True)
    raise typer.Exit(1)


@contextmanager
def _progress(total: int | None) -> "Iterator[Callable[[Any], None]]":
    """Show how far the sample is where somebody watches; yields what hears of it."""
    from rich.progress import Progress

    progress = Progress(console=error_console(), transient=True, disable=total is None)
    task = progress.add_task("docking a sample", total=total)

    def hear(event: Any) -> None:
        n_done = getattr(event, "n_ok", 0) + getattr(event, "n_failed", 0)
        progress.update(task, advance=n_done)

    with progress:
        yield hear
