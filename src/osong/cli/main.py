"""The command `osong`: its commands and what holds for all of them."""

from typing import Annotated

import typer

from osong.cli import (
    bench,
    cancel,
    dock,
    doctor,
    explain,
    finish,
    plan,
    prepare,
    rescore,
    resume,
    screen,
    status,
    submit,
    top,
    worker,
)
from osong.cli.failures import OneLineErrors

__all__ = ["app"]

app = typer.Typer(
    name="osong",
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

prepare_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make a target or a library ready, once.",
)
prepare_app.command("target")(prepare.prepare_target)
prepare_app.command("library")(prepare.prepare_library)

app.add_typer(prepare_app, name="prepare")
app.command("dock")(dock.dock)
app.command("screen")(screen.screen)
app.command("plan")(plan.plan)
app.command("status", cls=status.StatusCommand)(status.status)
app.command("resume")(resume.resume)
app.command("submit")(submit.submit)
app.command("cancel")(cancel.cancel)
app.command("finish")(finish.finish)
app.command("top")(top.top)
app.command("rescore")(rescore.rescore)
app.command("worker", hidden=True)(worker.worker)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.bench_app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        import osong

        typer.echo(f"osong {osong.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error.")
    ] = False,
) -> None:
    """Screen molecules against proteins.

    Begin with one of these:

    `osong screen drugs --target EGFR --out run1`

    `osong dock 'CC(=O)Oc1ccccc1C(=O)O' --receptor 1abc.pdb --ligand-box LIG`

    `osong doctor`
    """
