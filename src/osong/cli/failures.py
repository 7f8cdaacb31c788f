"""What a user sees when something goes wrong: one line that names the thing and the remedy."""

import errno
from typing import Any

import typer
from typer.core import TyperGroup

from osong.errors import CampaignStoppedError, InputError, OsongError, ResourceError

__all__ = ["OneLineErrors", "Stopped"]

_EXIT_FAILED = 1
_EXIT_UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: told to stop with work left, try again later
_EXIT_STOPPED = 130  # what shells report for a program that Ctrl-C ended


class Stopped(Exception):  # noqa: N818 (nothing is wrong: the user asked for it)
    """The user pressed Ctrl-C; the message says what is kept and how to go on."""


class OneLineErrors(TyperGroup):
    """The top command: turns expected failures of any command into one line on stderr.

    With ``--debug`` they come with their traceback. Failures that nobody expected always do.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except Stopped as stopped:
            _say("stopped", str(stopped))
            raise typer.Exit(_EXIT_STOPPED) from None
        except KeyboardInterrupt:
            _say("stopped", "")
            raise typer.Exit(_EXIT_STOPPED) from None
        except CampaignStoppedError as stopped:
            _say("stopped", str(stopped))
            raise typer.Exit(_EXIT_UNFINISHED) from None
        except OSError as error:
            # A closed pipe (`osong top run | head`) is no error; Typer ends it quietly.
            if error.errno == errno.EPIPE:
                raise
            _say("error", str(error if isinstance(error, OsongError) else _of_system(error)))
            raise typer.Exit(_EXIT_FAILED) from None
        except OsongError as error:
            _say("error", str(error))
            raise typer.Exit(_EXIT_FAILED) from None
        except MemoryError:
            _say("error", "out of memory: take a smaller box, fewer --workers or a bigger machine")
            raise typer.Exit(_EXIT_FAILED) from None


def _of_system(error: OSError) -> OsongError:
    """Return the error of the operating system as one that names a remedy."""
    thing = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{thing}: the disk is full; free some space and run it again")
    reason = error.strerror or str(error)
    return InputError(f"{thing}: {reason}; check the path and its permissions")


def _say(kind: str, message: str) -> None:
    colour = "red" if kind == "error" else "yellow"
    typer.secho(f"osong: {kind}", err=True, bold=True, fg=colour, nl=False)
    typer.echo(f": {' '.join(message.split())}" if message else "", err=True)
