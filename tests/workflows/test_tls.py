"""Certificates, and the doors of a cluster: who gets in, and who does not."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from cluster_processes import Cluster, cluster_in
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from distributed.utils import get_ip

from osong.errors import CampaignError, MissingExtraError
from osong_workflows import tls
from osong_workflows.dask_cluster import SchedulerFile, running_scheduler
from osong_workflows.tls import check_certificates, ensure_certificates, security

NOBODY = 65534
NAMES = ["ca.pem", "cert.pem", "key.pem"]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.fixture(params=[0o000, 0o022, 0o377])
def umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_certificates_are_for_their_owner_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    certificates = ensure_certificates(tmp_path)
    assert certificates.folder == tmp_path / "tls"
    assert certificates.folder.stat().st_mode & 0o777 == 0o700
    assert modes(certificates.folder) == dict.fromkeys(NAMES, 0o600)


def test_they_are_for_their_owner_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        for path in tmp_path.rglob("*"):
            seen.append(path.stat().st_mode)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        ensure_certificates(tmp_path)
    finally:
        os.umask(before)
    assert len(seen) >= 1 + 2 + 3 + 4
    assert not [mode for mode in seen if mode & 0o077]


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_campaign_that_everybody_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run1"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CampaignError, match=f"may write there .mode {mode:04o}.*chmod o-w"):
        ensure_certificates(folder)
    assert not list(folder.iterdir())
    folder.chmod(0o755)
    ensure_certificates(folder)
    folder.chmod(mode)
    with pytest.raises(CampaignError, match="every user may write there"):
        check_certificates(folder)


def test_scheduler_files_lie_in_a_folder_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    run = tmp_path / "run"
    run.symlink_to("elsewhere")
    with pytest.raises(CampaignError, match=f"{run}: is no folder that only"):
        SchedulerFile.of_pilot(tmp_path, "p")
    run.unlink()
    run.mkdir()
    run.chmod(0o755)
    with pytest.raises(CampaignError, match=f"remove {run} and run the same command again"):
        SchedulerFile.of_pilot(tmp_path, "p")
    run.chmod(0o700)
    SchedulerFile.of_pilot(tmp_path, "p")
    if os.geteuid() == 0:
        os.chown(run, NOBODY, NOBODY)
        with pytest.raises(CampaignError, match="is no folder that only"):
            SchedulerFile.of_pilot(tmp_path, "p")


def test_they_are_made_once_and_the_authority_forgets_its_key(tmp_path: Path) -> None:
    certificates = ensure_certificates(tmp_path)
    contents = {path: path.read_bytes() for path in certificates.folder.iterdir()}
    assert sorted(path.name for path in contents) == NAMES
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]
    assert ensure_certificates(tmp_path) == certificates == check_certificates(tmp_path)
    assert {path: path.read_bytes() for path in certificates.folder.iterdir()} == contents
    key = load_pem_private_key(contents[certificates.key], password=None)
    authority = x509.load_pem_x509_certificate(contents[certificates.authority])
    assert key.public_key() != authority.public_key()
    assert sum(b"PRIVATE KEY" in content for content in contents.values()) == 1


def test_two_at_once_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    begin = threading.Barrier(8)

    def ensure() -> None:
        begin.wait()
        found.append(ensure_certificates(tmp_path).key.read_bytes())

    threads = [threading.Thread(target=ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]


def open_folder(place: Path) -> None:
    place.chmod(0o750)


def open_key(place: Path) -> None:
    (place / "key.pem").chmod(0o644)


def no_key(place: Path) -> None:
    (place / "key.pem").unlink()


def cut(place: Path) -> None:
    path = place / "cert.pem"
    path.write_bytes(path.read_bytes()[:300])


def other_key(place: Path) -> None:
    other = place.parent / "other"
    other.mkdir()
    ensure_certificates(other).key.replace(place / "key.pem")


def other_authority(place: Path) -> None:
    other = place.parent / "other"
    other.mkdir()
    ensure_certificates(other).authority.replace(place / "ca.pem")


def linked_key(place: Path) -> None:
    (place / "key.pem").rename(place / "real.pem")
    (place / "key.pem").symlink_to("real.pem")


def linked_folder(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


def file_for_folder(place: Path) -> None:
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    place.write_text("")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (open_folder, r"is open to other users \(mode 0750\)"),
        (open_key, r"key\.pem is open to other users \(mode 0644\)"),
        (no_key, r"cannot be read \(No such file"),
        (cut, "is damaged"),
        (other_key, "key and certificate do not belong together"),
        (other_authority, "is damaged"),
        (linked_key, "cannot be read"),
        (linked_folder, "is no folder"),
        (file_for_folder, "is no folder"),
    ],
)
def test_certificates_that_cannot_be_trusted_are_refused(tmp_path: Path, spoil, what: str) -> None:
    place = ensure_certificates(tmp_path).folder
    spoil(place)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(CampaignError, match=what) as caught:
        ensure_certificates(tmp_path)
    assert f"remove {place} and run the same command again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "days", "what"),
    [("_VALID", -1, "expired on"), ("_CLOCKS_DIFFER", -2, "set this machine's clock")],
)
def test_certificates_of_another_time_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, days: int, what: str
) -> None:
    hour = datetime.timedelta(hours=1)
    monkeypatch.setattr(tls, name, datetime.timedelta(days=days) + hour)
    with pytest.raises(CampaignError, match=what):
        ensure_certificates(tmp_path)
    with pytest.raises(CampaignError, match=r"remove .*tls and run the same command again"):
        check_certificates(tmp_path)


def test_clocks_may_differ(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(
        ensure_certificates(tmp_path).certificate.read_bytes()
    )
    now = datetime.datetime.now(datetime.UTC)
    assert now - certificate.not_valid_before_utc > datetime.timedelta(hours=23)
    assert certificate.not_valid_after_utc - now > datetime.timedelta(days=365)


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="certificates cannot be written"):
        ensure_certificates(tmp_path / "none")


def test_both_sides_must_prove_who_they_are(tmp_path: Path) -> None:
    ours = security(ensure_certificates(tmp_path))
    assert ours.require_encryption
    for role in ("client", "worker", "scheduler"):
        for arguments in (ours.get_connection_args(role), ours.get_listen_args(role)):
            context = arguments["ssl_context"]
            assert context.verify_mode == ssl.CERT_REQUIRED
            assert context.minimum_version == ssl.TLSVersion.TLSv1_3
            assert arguments["require_encryption"]


@pytest.fixture(scope="module")
def open_folders():
    """A place that every user may look into, since pytest's own is closed."""
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="osong-doors-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def busy(open_folders: Path):
    """A cluster that is at work all the time, in a folder with nothing hidden but keys."""
    folder = open_folders / "campaign"
    with cluster_in(folder) as cluster:
        cluster.start_srun("long_nap", 1000)
        folder.chmod(0o755)
        cluster.begun(2)
        yield cluster
        cluster.stop()


def scheduler_address(cluster: Cluster) -> str:
    return SchedulerFile.of_pilot(cluster.folder, "pilot-1").read()


def test_every_door_asks_for_the_certificate(busy: Cluster, tmp_path: Path) -> None:
    doors: dict[tuple[str, int], int] = {}
    for process in busy.processes():
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                doors[connection.laddr.ip, connection.laddr.port] = process.pid
    # Scheduler, two nannies and two workers; the pages of the scheduler and of the workers.
    assert len(doors) == 8
    n_open = 0
    stranger = security(ensure_certificates(tmp_path)).get_connection_args("client")["ssl_context"]
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.verify_mode = ssl.CERT_NONE
    for ip, port in doors:
        # Dask's greeting comes at once where one is let in.
        if ip == "127.0.0.1":
            assert greeting(ip, port, anonymous, b"GET / HTTP/1.0\r\n\r\n").startswith(
                b"HTTP/1.1 404"
            )
            continue
        n_open += 1
        assert ip == get_ip()
        assert greeting(ip, port, None) == b""
        assert greeting(ip, port, anonymous) == b""
        assert greeting(ip, port, stranger) == b""
    assert n_open == 5


def greeting(ip: str, port: int, context: ssl.SSLContext | None, request: bytes = b"") -> bytes:
    """What a port says to one who has connected; nothing where it hangs up."""
    try:
        with (
            socket.create_connection((ip, port), timeout=30) as plain,
            context.wrap_socket(plain) if context else plain as line,
        ):
            line.sendall(request or b"\0" * 64)
            return line.recv(100)
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return b""


STRANGER = """
import os, sys
from pathlib import Path
import dask
from distributed import Client
from osong_workflows.tls import ensure_certificates, security

address, user, key, own = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
dask.config.set({"distributed.comm.timeouts.connect": "3s"})

def try_it(address, ours):
    try:
        with Client(address, security=ours, timeout=3) as client:
            return f"in: {client.submit(os.getuid).result(timeout=3)}"
    except (OSError, TimeoutError, TypeError, ValueError, RuntimeError):
        return "out"

if user:
    # All modules are read before: that user may not be able to read this Python.
    try_it("tcp://127.0.0.1:1", None)
    ensure_certificates(own.parent)
    os.chown(own, user, user)
    os.setgroups([]); os.setgid(user); os.setuid(user)
    try:
        print(Path(key).read_text())
    except PermissionError:
        print("no key")
print(try_it(address, None))
print(try_it(address.replace("tls", "tcp"), None))
print(try_it(address, security(ensure_certificates(own))), flush=True)
# Dask tries on in its threads.
os._exit(0)
"""


def strange(busy: Cluster, user: int, own: Path) -> list[str]:
    key = str(busy.folder / "tls" / "key.pem")
    own.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, scheduler_address(busy), str(user), key, str(own)],
        capture_output=True,
        text=True,
        # It reads a lot of modules, and is turned away slowly where the machine is busy.
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_who_has_no_certificates_or_others_stays_outside(busy: Cluster, open_folders: Path) -> None:
    assert strange(busy, 0, open_folders / "stranger") == ["out"] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_stays_outside(busy: Cluster, open_folders: Path) -> None:
    said = strange(busy, NOBODY, open_folders / "nobody" / "own")
    assert said == ["no key", *["out"] * 3]
    assert not list((busy.folder).glob("**/core"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_certificates_of_another_user_are_refused(tmp_path: Path) -> None:
    place = ensure_certificates(tmp_path).folder
    os.chown(place / "key.pem", NOBODY, NOBODY)
    with pytest.raises(CampaignError, match=f"key.pem belongs to user {NOBODY}, and this is user"):
        ensure_certificates(tmp_path)


def test_who_has_the_certificates_is_let_in(busy: Cluster) -> None:
    from distributed import Client

    ours = security(check_certificates(busy.folder))
    with Client(scheduler_address(busy), security=ours, set_as_default=False) as client:
        assert sum(client.nthreads().values()) == 2


def test_a_dashboard_has_a_secret_in_its_address(tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="needs osong[dashboard]")
    with running_scheduler(ensure_certificates(tmp_path), get_ip(), dashboard=True) as scheduler:
        said = scheduler.dashboard
        page = said.split()[-1]
        port = int(page.split(":")[2].partition("/")[0])
        path = "/" + page.split("/", 3)[3]
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.pem"))
        assert f"ssh -N -L {port}:localhost:{port} {socket.gethostname()}" in said

        def status(path: str) -> bytes:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=120) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as line,
            ):
                line.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n".encode())
                return line.recv(12)

        assert status(path) == b"HTTP/1.1 200"
        secret = path.split("/")[1]
        assert len(secret) == 32
        for guess in ("/", "/status", "/sitemap.json", "/info/main/workers.html", "/health"):
            assert status(guess) == b"HTTP/1.1 404"
        assert status(f"/{secret}/info/main/workers.html") == b"HTTP/1.1 200"
        if get_ip() != "127.0.0.1":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((get_ip(), port), timeout=5)


def test_a_dashboard_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with (
        pytest.raises(MissingExtraError, match=r"osong\[dashboard\]"),
        running_scheduler(ensure_certificates(tmp_path), "127.0.0.1", dashboard=True),
    ):
        pass
