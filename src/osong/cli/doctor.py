"""`osong doctor`: what this machine has and what is missing."""

from typing import Annotated

import typer

from osong.cli.terminal import console

__all__ = ["doctor"]

_MARKS = {"ok": ("ok", "green"), "optional": ("-", "dim"), "missing": ("!!", "bold red")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what this machine has, what is missing and the line that installs it.

    Exits with 1 where something that Osong needs is missing.
    """
    from osong.doctor import examine

    findings = examine()
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        from rich.text import Text

        out = console()
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            mark, style = _MARKS[finding.state]
            line = Text.assemble((f"{mark:<3}", style), (f"{finding.topic:<{width}}  ", "bold"))
            out.print(line.append(finding.value), soft_wrap=True)
            if finding.remedy:
                out.print(Text(" " * (width + 5) + finding.remedy, style="dim"), soft_wrap=True)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
