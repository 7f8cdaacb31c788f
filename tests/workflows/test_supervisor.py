"""Supervising processes that do not do what processes do."""

from __future__ import annotations

import signal
import subprocess
import threading
from multiprocessing import Pipe

import pytest
from osong_fake_echo import HANGS, Number, Settings

from osong_workflows.child import Job
from osong_workflows.events import Publisher
from osong_workflows.outcome import FailedMolecule
from osong_workflows.read_ahead import ReadAhead
from osong_workflows.supervisor import StartGate, Supervisor
from osong_workflows.wire import Wire


class Stuck:
    """A process in a driver's call that does not return: no signal ends it."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        self.waits.append(timeout)
        raise subprocess.TimeoutExpired("child", timeout or 0.0)


def test_a_process_that_does_not_die_is_left_behind() -> None:
    job = Job("", None)  # type: ignore[arg-type]
    supervisor: Supervisor[object] = Supervisor(job, Publisher(), threading.Event(), StartGate())
    stuck = Stuck()
    supervisor._process = stuck  # type: ignore[assignment]
    supervisor.close()
    assert stuck.waits == [10.0]
    assert supervisor._process is None


@pytest.fixture
def echo():
    supervisors: list[Supervisor[int]] = []

    def start(**settings: float) -> Supervisor[int]:
        job = Job("", Settings(**settings), "echo")
        supervisors.append(Supervisor(job, Publisher(), threading.Event(), StartGate()))
        return supervisors[-1]

    yield start
    for supervisor in supervisors:
        supervisor.close()


def test_what_is_sent_ahead_is_ready_when_its_turn_comes(echo) -> None:
    """The process answers with what it got ready so far."""
    supervisor = echo()
    first, second, third = (
        Number(i, ballast=bytes(2**20), waits_for=min(i + 1, 2)) for i in range(3)
    )
    assert supervisor.dock(first, lambda: second) == (0, [0, 1])
    assert supervisor.dock(second, lambda: third) == (1, [0, 1, 2])
    assert supervisor.dock(third) == (2, [0, 1, 2])


def test_what_was_sent_ahead_comes_next(echo) -> None:
    supervisor = echo()
    supervisor.dock(Number(0), lambda: Number(1))
    with pytest.raises(AssertionError, match="comes next"):
        supervisor.dock(Number(2))


def test_a_process_that_reads_no_more_is_ended_in_time(echo) -> None:
    supervisor = echo(molecule_timeout_s=1.0)
    hangs, more = Number(HANGS), Number(1, ballast=bytes(2**22))
    outcome = supervisor.dock(hangs, lambda: more)
    assert isinstance(outcome, FailedMolecule)
    assert outcome.stage == "time"
    assert supervisor.dock(Number(5)) == (5, [5]), "with nothing of what was sent ahead before"


def test_a_first_item_that_is_not_read_is_no_reason_to_wait_for_ever(echo) -> None:
    supervisor = echo(molecule_timeout_s=1.0)
    assert supervisor.dock(Number(0)) == (0, [0])
    supervisor._process.send_signal(signal.SIGSTOP)
    outcome = supervisor.dock(Number(1, ballast=bytes(2**22)))
    assert isinstance(outcome, FailedMolecule)
    assert outcome.stage == "time"
    assert supervisor.dock(Number(5)) == (5, [5])


def test_messages_that_nobody_reads_do_not_keep_a_wire_open() -> None:
    ours, theirs = Pipe()
    wire = Wire(ours)
    wire.send_later(bytes(2**22))
    wire.send_later(bytes(2**22))
    wire.close()
    with pytest.raises((EOFError, OSError)):  # before a message, or within one
        theirs.recv()


def test_what_goes_wrong_while_reading_ahead_is_raised_in_its_turn() -> None:
    ours, theirs = Pipe()

    def invert(number: int) -> float:
        return 1 / number

    reader = ReadAhead(theirs, invert)
    for number in (2, 0):
        ours.send(number)
    assert reader.next() == 0.5
    with pytest.raises(ZeroDivisionError):
        reader.next()
