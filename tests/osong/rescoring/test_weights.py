"""Finding weights: names, ensembles, folders, hashes. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from osong.errors import InputError, MissingExtraError
from osong.rescoring import weights
from osong.rescoring.weights import ENSEMBLES, SHIPPED, find_weights, shipped_folder

needs_gninatorch = pytest.mark.skipif(find_spec("gninatorch") is None, reason="needs osong[ml]")


def names(*asked: str, folder: Path | None = None) -> list[str]:
    return [file.name for file in find_weights(asked, folder)]


def put(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).write_bytes(file.encode())
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@needs_gninatorch
def test_every_shipped_file_has_its_hash() -> None:
    found = {path.stem: sha256(path.read_bytes()) for path in shipped_folder().glob("*.pt")}
    assert found == SHIPPED


def test_default_is_that_of_gnina_10() -> None:
    """McNutt et al. 2021, and GNINA's own list for ``--cnn default1.0``."""
    assert ENSEMBLES["default"] == (
        "dense",
        "general_default2018_3",
        "dense_3",
        "crossdock_default2018",
        "redock_default2018_2",
    )


@pytest.mark.parametrize("name", [n for n in ENSEMBLES if n not in ("default1.3", "fast")])
def test_ensembles_are_shipped(name: str) -> None:
    assert len(ENSEMBLES[name]) == 5
    assert set(ENSEMBLES[name]) <= set(SHIPPED)


@needs_gninatorch
def test_names_are_looked_up_once_and_in_order() -> None:
    found = find_weights(["dense_1", "dense_ensemble"])
    assert [file.name for file in found] == ["dense_1", "dense", "dense_2", "dense_3", "dense_4"]
    assert [file.sha256 for file in found] == [SHIPPED[file.name] for file in found]
    assert all("Apache-2.0" in file.licence and "MIT" in file.licence for file in found)


@needs_gninatorch
def test_finding_imports_nothing() -> None:
    code = (
        "import sys; from osong.rescoring.weights import find_weights; find_weights('default');"
        "print(*{'torch', 'gninatorch', 'molgrid'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="no network 'dens' is known; known are default, ") as e:
        find_weights("dens")
    assert "\n" not in str(e.value)


def test_no_name() -> None:
    with pytest.raises(InputError, match="no network was named"):
        find_weights([])


def test_member_that_is_not_shipped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dense_1_3 \(a member of 'default1\.3'\).*weights="):
        find_weights("default1.3")
    put(tmp_path, "dense_1.3_PT_KD_3.pt")
    with pytest.raises(InputError, match=f"dense_1_3 .*{tmp_path} lacks it"):
        find_weights("default1.3", tmp_path)


def test_folder_of_the_users(tmp_path: Path) -> None:
    put(tmp_path, "dense_1.3.pt", "dense_1.3_PT_KD_3.pt", "crossdock_default2018_KD_4.pt", "a.txt")
    found = find_weights("default1.3", tmp_path)
    assert [file.name for file in found] == [
        "dense_1.3",
        "dense_1.3_PT_KD_3",
        "crossdock_default2018_KD_4",
    ]
    assert found[0].sha256 == sha256(b"dense_1.3.pt")
    assert "user" in found[0].licence
    assert names("dense_1_3", folder=tmp_path) == ["dense_1.3"]


def test_all_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "b.pt", "a.pth", "c.txt")
    assert [file.name for file in find_weights("all", tmp_path)] == ["a", "b"]
    with pytest.raises(InputError, match="models='all' takes a folder"):
        find_weights("all")


@pytest.mark.parametrize("make", [False, True])
def test_folder_without_weights(make: bool, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(InputError, match=f"{folder}: .*weights"):
        find_weights("default", folder)


def test_hashes_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "good.pt", "bad.pt")
    (tmp_path / "SHA256SUMS").write_text(
        f"{sha256(b'good.pt')}  good.pt\n{'0' * 64} *bad.pt\nsome words\n"
    )
    assert find_weights("good", tmp_path)[0].sha256 == sha256(b"good.pt")
    with pytest.raises(InputError, match=r"bad\.pt: SHA-256 is .*SHA256SUMS says 0000"):
        find_weights("bad", tmp_path)


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "shipped_folder", lambda: tmp_path)
    return tmp_path


def test_shipped_file_that_was_changed(broken_package: Path) -> None:
    put(broken_package, "dense.pt")
    with pytest.raises(InputError, match=r"not that of gninatorch 0\.0\.2 \(76bd4a"):
        find_weights("dense")


def test_shipped_file_that_is_gone(broken_package: Path) -> None:
    with pytest.raises(InputError, match=r"dense\.pt: not there"):
        find_weights("dense")


def test_gninatorch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"gninatorch.*pip install 'osong\[ml\]'"):
        find_weights("default")
