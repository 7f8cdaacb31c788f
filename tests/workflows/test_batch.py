"""Batch scripts, run by bash with a stand-in for Slurm and for the pilot; then ``jobs.json``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import osong_slurm
from osong.errors import InputError
from osong_workflows.batch import _directive, make_finish, make_pilots
from osong_workflows.sites import Mpi, Site, load_site

PILOT = """\
import json, os, signal, sys, time
from pathlib import Path
me = Path(os.environ["STUB"])
if sys.argv[1] == "status":
    print(os.environ["STUB_STATUS"])
    sys.exit(0)
(me / "arguments").write_text(json.dumps(sys.argv[1:]))
def stop(number, frame):
    with open(me / "signals", "a") as file:
        file.write(f"{number} ")
    time.sleep(0.3)
    sys.exit(75)
if os.environ["STUB_DOES"] == "listen":
    signal.signal(signal.SIGUSR1, stop)
    signal.signal(signal.SIGTERM, stop)
if os.environ["STUB_DOES"] in ("listen", "deaf"):
    (me / "begun").touch()
    time.sleep(60)
sys.exit(int(os.environ["STUB_DOES"]))
"""

NASTY = """it's a "campaign" $(touch owned) `touch owned` & ; | $HOME ~ * é % # ."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for Slurm's commands that note how they were called; their folder."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("squeue", "scontrol", "scancel", "srun", "module"):
        script = f"""#!/bin/sh
printf '%s ' {name} "$@" >> '{tmp_path}/called'
echo >> '{tmp_path}/called'
[ {name} != squeue ] || echo "${{STUB_STATE:-RUNNING}}"
"""
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("STUB", str(tmp_path))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    return tmp_path


def stub_site(folder: Path, **fields: object) -> Site:
    (folder / "pilot.py").write_text(PILOT)
    return Site(name="here", osong=(sys.executable, str(folder / "pilot.py")), **fields)


def start(folder: Path, script: str, does: str, **variables: str) -> subprocess.Popen[str]:
    (folder / "script").write_text(script)
    return subprocess.Popen(
        ["bash", "script"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"STUB_DOES": does} | variables,
    )


def called(folder: Path) -> list[str]:
    path = folder / "called"
    return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []


def wait_until(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def note_errors(folder: Path, n: int) -> None:
    """As so many runs in a row that ended with an error would have."""
    (folder / "run").mkdir(mode=0o700)
    (folder / "run" / "errors-7_3").write_text("1\n" * n)


REQUEUED = ["squeue --noheader --jobs=7_3 --format=%T", "scontrol requeue 7_3"]


@pytest.mark.parametrize(
    ("does", "n_errors", "state", "expected"),
    [
        ("0", "5", "RUNNING", ["scancel --quiet --state=PENDING 7"]),
        ("75", "0", "RUNNING", REQUEUED),
        ("75", "5", "RUNNING", REQUEUED),
        ("75", "0", "COMPLETING", REQUEUED[:1]),
        ("1", "0", "RUNNING", REQUEUED),
        ("1", "4", "RUNNING", REQUEUED),
        ("1", "5", "RUNNING", []),
        ("130", "5", "RUNNING", []),
    ],
)
def test_what_becomes_of_an_element_that_ended(slurm, does, n_errors, state, expected):
    batch = make_pilots(slurm, stub_site(slurm), 1)
    note_errors(slurm, int(n_errors))
    # How often Slurm itself brought it back says nothing.
    variables = {"SLURM_RESTART_COUNT": "99", "STUB_STATE": state}
    process = start(slurm, batch.script, does, **variables)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == int(does)
    assert called(slurm) == expected
    assert f"the pilot ended with code {does}" in output


def test_errors_count_in_a_row(slurm):
    script = make_pilots(slurm, stub_site(slurm), 1).script
    for does in ("1", "1", "75", *"11111"):
        start(slurm, script, does).communicate(timeout=60)
    assert called(slurm) == REQUEUED * 8
    assert oct((slurm / "run").stat().st_mode & 0o777) == "0o700"
    start(slurm, script, "1").communicate(timeout=60)
    assert called(slurm) == REQUEUED * 8, "the sixth in a row"


def test_errors_that_cannot_be_counted_bring_nothing_back(slurm):
    (slurm / "run").touch()
    start(slurm, make_pilots(slurm, stub_site(slurm), 1).script, "1").communicate(timeout=60)
    assert called(slurm) == []


@pytest.mark.parametrize("is_finished", [True, False])
def test_lost_rank_of_a_finished_campaign_is_no_error(slurm, is_finished):
    mpiexec = slurm / "bin" / "mpiexec"
    mpiexec.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    mpiexec.chmod(0o755)
    site = stub_site(slurm, launch="mpi", mpi=Mpi(launcher="mpiexec"))
    script = make_pilots(slurm, site, 1).script
    variables = {"STUB_STATUS": json.dumps({"is_finished": is_finished, "n": 1})}
    process = start(slurm, script, "137", **variables)
    process.communicate(timeout=60)
    assert process.returncode == (0 if is_finished else 137)
    assert called(slurm) == (["scancel --quiet --state=PENDING 7"] if is_finished else REQUEUED)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_signals_are_passed_on_and_the_pilot_is_waited_for(slurm, number):
    process = start(slurm, make_pilots(slurm, stub_site(slurm), 1).script, "listen")
    wait_until(slurm / "begun")
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    process.communicate(timeout=60)
    assert process.returncode == 75, "the pilot's code, not that of an interrupted wait"
    heard = (slurm / "signals").read_text().split()
    assert set(heard) == {str(int(signal.SIGUSR1))}, "never a SIGTERM more than Slurm's own"
    assert called(slurm) == REQUEUED


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_warning_that_kills_a_pilot_which_did_not_listen_yet_is_no_error(slurm, number):
    note_errors(slurm, 9)
    process = start(slurm, make_pilots(slurm, stub_site(slurm), 1).script, "deaf")
    wait_until(slurm / "begun")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert called(slurm) == REQUEUED


def test_job_that_is_being_cancelled_stays_away(slurm):
    process = start(
        slurm, make_pilots(slurm, stub_site(slurm), 1).script, "listen", STUB_STATE="COMPLETING"
    )
    wait_until(slurm / "begun")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert called(slurm) == REQUEUED[:1]


def test_warning_before_the_pilot_begins_starts_none(slurm):
    site = stub_site(slurm, setup=("touch set-up; sleep 1",))
    process = start(slurm, make_pilots(slurm, site, 1).script, "0")
    wait_until(slurm / "set-up")
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert not (slurm / "arguments").exists()
    assert called(slurm) == REQUEUED


def test_no_name_of_a_user_is_read_as_shell(slurm):
    """Folder, modules, command, scratch: they arrive as they were written."""
    folder = slurm / NASTY
    site = stub_site(slurm, scratch=f"$TMPDIR/{NASTY}", modules=(NASTY,), launch="local")
    site = site.model_copy(update={"osong": (*site.osong, NASTY)})
    process = start(slurm, make_pilots(folder, site, 1).script, "0")
    process.communicate(timeout=60)
    assert process.returncode == 0
    arguments = json.loads((slurm / "arguments").read_text())
    assert arguments[:3] == [NASTY, "resume", str(folder)]
    assert arguments[-2:] == ["--scratch", f"$TMPDIR/{NASTY}"]
    assert called(slurm)[0] == f"module load {NASTY}"
    assert not (slurm / "owned").exists()


@given(st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=("Cs",)), min_size=1))
def test_any_word_is_one_word_of_a_directive(text):
    """By Slurm's rules: quotes of either kind, and a backslash before any character."""
    assert slurm_words(_directive(f"--x={text}")) == [f"--x={text}"]


def slurm_words(line: str) -> list[str]:
    """Words of an ``#SBATCH`` line as sbatch 22.05 takes them apart (tried on a real one)."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def test_elements_of_the_array_share_the_nodes_evenly(tmp_path):
    def shape(nodes: int) -> tuple[int, int]:
        batch = make_pilots(tmp_path, Site(nodes_per_pilot=64, max_array=3), nodes)
        assert f"#SBATCH --array=0-{batch.n_pilots - 1}\n" in batch.script
        assert f"#SBATCH --nodes={batch.nodes}\n" in batch.script
        return batch.n_pilots, batch.nodes

    assert [shape(n) for n in (1, 64, 100, 192)] == [(1, 1), (1, 64), (2, 50), (3, 64)]
    with pytest.raises(InputError, match="193 nodes are 4 jobs of 64 nodes and site '' takes 3"):
        shape(193)
    with pytest.raises(InputError, match="at least 1"):
        shape(0)


def test_what_a_job_asks_for(tmp_path):
    site = Site(
        partition="p",
        account="a",
        qos="q",
        constraint="c&d",
        cores_per_node=8,
        gpus_per_node=2,
        memory_per_node="10G",
        time_limit="1-00:00:00",
        extra=("--comment=a b",),
    )
    batch = make_pilots(tmp_path, site, 1)
    lines = [line for line in batch.script.splitlines() if line.startswith("#SBATCH")]
    for option in (
        "--partition=p",
        "--account=a",
        "--qos=q",
        "--constraint=c&d",
        "--ntasks-per-node=1",
        "--cpus-per-task=8",
        "--gpus-per-node=2",
        "--mem=10G",
        "--time=1-00:00:00",
        "--signal=B:USR1@600",
        "--requeue",
        "--open-mode=append",
        '"--comment=a b"',
    ):
        assert f"#SBATCH {option}" in lines
    # With it a job that lost the node of this script would hold its other nodes, and do nothing.
    assert not any(line.startswith("#SBATCH --no-kill") for line in batch.script.splitlines())
    assert "--exclusive" not in batch.script
    assert "#SBATCH --exclusive" in make_pilots(tmp_path, Site(), 1).script
    assert batch.script.splitlines()[len(lines) + 2].startswith("trap "), "before anything else"
    assert batch.command == (
        "sbatch",
        "--parsable",
        f"--chdir={tmp_path}",
        f"--output={tmp_path}/logs/slurm-%A_%a.out",
    )


def test_ranks_are_started_so_that_one_may_die(tmp_path):
    site = Site(launch="mpi", mpi=Mpi(plugin="pmi2", flags=("-x",)), cores_per_node=8)
    script = make_pilots(tmp_path, site, 1).script
    assert "#SBATCH --ntasks-per-node=4\n#SBATCH --cpus-per-task=2\n" in script
    assert (
        'srun --cpus-per-task="$((SLURM_CPUS_ON_NODE / 4))" --mpi=pmi2 --ntasks=4 --no-kill '
        "--kill-on-bad-exit=0 --wait=0 --cpu-bind=none -x " in script
    )
    site = Site(launch="mpi", mpi=Mpi(launcher="mpiexec", flags=("-bind-to", "none")))
    script = make_pilots(tmp_path, site, 1).script
    assert "    mpiexec -n 4 -bind-to none " in script
    assert "--runner mpi " in script


def test_what_workers_on_other_nodes_are_started_with(tmp_path):
    site = Site(
        interface="ib0",
        srun_flags=("--mpi=none", "--x=a b"),
        osong=("/opt/a b/osong",),
        lease_s=60,
        time_limit="10",
    )
    script = make_pilots(tmp_path, site, 1).script
    (line,) = (line for line in script.splitlines() if " resume " in line)
    words = shlex.split(line)
    assert words[:4] == ["/opt/a b/osong", "resume", str(tmp_path), "--runner"]
    assert words[4:] == [
        "srun",
        "--quiet",
        "--grace",
        "45",
        "--lease",
        "60",
        "--interface",
        "ib0",
        "--srun-flags=--mpi=none '--x=a b'",
        "--osong-command='/opt/a b/osong'",
        "&",
    ]
    local = site.model_copy(update={"launch": "local"})
    assert "--interface" not in make_pilots(tmp_path, local, 1).script


def test_finishing_job_asks_for_one_core_after_the_array(tmp_path):
    site = Site(partition="big", constraint="c", qos="q", account="a", finish_partition="serial")
    batch = make_finish(tmp_path, site, "12")
    assert batch.command[-1] == "--dependency=afterany:12"
    assert "#SBATCH --partition=serial\n#SBATCH --account=a\n#SBATCH --time" in batch.script
    assert batch.script.endswith(f"osong finish {tmp_path}\n")
    same = make_finish(tmp_path, site.model_copy(update={"finish_partition": ""}), "12")
    assert "#SBATCH --partition=big\n#SBATCH --account=a\n#SBATCH --qos=q\n" in same.script


@pytest.mark.parametrize("name", osong_slurm.site_names())
@pytest.mark.parametrize("launch", ["srun", "mpi", "local"])
def test_every_script_is_shell(tmp_path, name, launch):
    site = load_site(name).model_copy(update={"launch": launch})
    for batch in (make_pilots(tmp_path, site, 1), make_finish(tmp_path, site, "1")):
        assert batch.script.startswith("#!/bin/bash\n")
        subprocess.run(["bash", "-n"], input=batch.script, text=True, check=True)
        assert "{" not in "".join(x for x in batch.script.splitlines() if x.startswith("#SBATCH"))


def test_folders_that_slurm_cannot_write_to_are_refused(tmp_path):
    for name in ("a\\b", "a\nb", "a\x7fb"):
        with pytest.raises(InputError, match="backslash or a control character"):
            make_pilots(tmp_path / name, Site(), 1)
    command = make_pilots(tmp_path / "%A", Site(), 1).command
    assert command[-1] == f"--output={tmp_path}/%%A/logs/slurm-%A_%a.out"
    assert command[-2] == f"--chdir={tmp_path}/%A"


def test_names_cannot_write_lines_into_the_script(tmp_path):
    site = Site(name="x\n#SBATCH --account=other")
    script = make_pilots(tmp_path, site, 1).script
    assert "\n#SBATCH --account" not in script
