"""Expected failures are one line and an exit code; unexpected ones keep their traceback."""

from __future__ import annotations

import errno
import os

import pytest
import typer
from typer.testing import CliRunner

from osong.cli.failures import OneLineErrors, Stopped
from osong.errors import CampaignError, InputError, MissingExtraError


def run_with(error: BaseException, *options: str) -> object:
    """Run a command that raises, under the top command of `osong`."""
    app = typer.Typer(cls=OneLineErrors, pretty_exceptions_enable=False)

    @app.callback()
    def top(debug: bool = False) -> None: ...

    @app.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, [*options, "fail"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.smi: line 3\n is broken;\tmend it"), "a.smi: line 3 is broken; mend it"),
        (CampaignError("run1: is another's"), "run1: is another's"),
        (
            MissingExtraError("duckdb", extra="duckdb", purpose="SQL"),
            "SQL needs the package 'duckdb', which is not installed: pip install 'osong[duckdb]'",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run1/part"),
            "run1/part: the disk is full; free some space and run it again",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            "/x: Permission denied; check the path and its permissions",
        ),
        (
            MemoryError(),
            "out of memory: take a smaller box, fewer --workers or a bigger machine",
        ),
    ],
)
def test_expected_error_is_one_line(error: BaseException, line: str) -> None:
    result = run_with(error)
    assert result.exit_code == 1
    assert result.stderr == f"osong: error: {line}\n"
    assert result.stdout == ""


def test_debug_keeps_the_exception() -> None:
    error = InputError("a.smi: broken")
    result = run_with(error, "--debug")
    assert result.exception is error


def test_unexpected_error_keeps_its_traceback() -> None:
    error = ZeroDivisionError("a bug")
    assert run_with(error).exception is error


def test_ctrl_c_says_how_to_go_on() -> None:
    result = run_with(Stopped("go on with: osong resume run1"))
    assert (result.exit_code, result.stderr) == (
        130,
        "osong: stopped: go on with: osong resume run1\n",
    )


def test_ctrl_c_elsewhere_is_quiet() -> None:
    result = run_with(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "osong: stopped\n")
