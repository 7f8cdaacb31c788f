"""Machine code for devices is taken from disk where nothing that decides about it has changed.

There need not be a device: only its compute capability and the loading of code are pretended.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kernel_backends import HAS_NUMBA_CUDA, IS_SIMULATED

import osong_kernels

pytestmark = pytest.mark.skipif(
    not HAS_NUMBA_CUDA or IS_SIMULATED, reason="needs osong[cuda]; the simulator compiles nothing"
)

_RUN = """
import sys
from types import SimpleNamespace
from unittest import mock

from numba.cuda.cudadrv import nvvm

compiled = []
real = nvvm.compile_ir
nvvm.compile_ir = lambda *args, **kws: compiled.append(1) or real(*args, **kws)

from osong_kernels.cuda.compile import kernel
from osong_kernels.cuda.exchange import gather_minima, OFFLINE

module = mock.Mock()
module.get_function = lambda name: SimpleNamespace(name=name, module=mock.Mock(initialized=True))
[declared] = [each for each in OFFLINE if each.kernel is gather_minima]
for argument in sys.argv[1:]:
    device = SimpleNamespace(compute_capability=(int(argument) // 10, int(argument) % 10), id=0)
    context = SimpleNamespace(device=device, create_module_image=lambda *args: module)
    with (
        mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device),
        mock.patch("numba.cuda.cudadrv.devices.get_context", return_value=context),
    ):
        fresh = kernel(gather_minima.py_func)
        before = len(compiled)
        library = fresh.compile(declared.signature).library
        code = library.get_cubin().code
    [capability] = library._cubin_cache
    hits = sum(fresh.stats.cache_hits.values())
    print(f"sm_{capability[0]}{capability[1]}", hits, len(compiled) - before, len(code) > 5000)
"""


def _run(root: Path, *architectures: str, **environment: str) -> list[str]:
    variables = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *architectures],
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the kernels, to be changed."""
    shutil.copytree(
        Path(osong_kernels.__file__).parent,
        tmp_path / "osong_kernels",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path


def test_code_is_compiled_once_for_each_make_of_device_and_anew_after_a_change(root: Path) -> None:
    assert _run(root, "90", "80") == ["sm_90 0 1 True", "sm_80 0 1 True"]
    assert len(list(root.rglob("*.kernel"))) == 2
    assert _run(root, "80", "90") == ["sm_80 1 0 True", "sm_90 1 0 True"]
    elsewhere = root / "osong_kernels" / "cuda" / "warp.py"
    elsewhere.write_text(elsewhere.read_text() + "# changed\n")
    assert _run(root, "90") == ["sm_90 0 1 True"]
    assert len(list(root.rglob("*.kernel"))) == 3, "the old ones may be of another environment"


def test_a_folder_that_cannot_be_written_is_no_error(root: Path) -> None:
    """Neither beside the sources, nor in the user's folder, nor where the variable says."""
    (root / "osong_kernels" / "cuda" / "__pycache__").write_text("no folder")
    nowhere = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"), "/dev/null")
    assert _run(root, "90", **nowhere) == ["sm_90 0 1 True"]
    assert not list(root.rglob("*.kernel"))


def _kernels() -> dict[str, Any]:
    package = importlib.import_module("osong_kernels.cuda")
    modules = [each.name for each in pkgutil.iter_modules(package.__path__)]
    declared = [
        each
        for name in modules
        for each in getattr(importlib.import_module(f"{package.__name__}.{name}"), "OFFLINE", ())
    ]
    return {each.name: each.kernel for each in declared}


def test_every_kernel_is_kept_under_a_name_of_its_own() -> None:
    from osong_kernels.cuda.kernel_cache import KernelFiles, identity_of

    kernels = _kernels()
    assert {"run_chains", "run_chains, exact pairs"} <= kernels.keys()
    for compiled in kernels.values():
        assert isinstance(compiled._cache._cache_file, KernelFiles)
    assert len({identity_of(compiled.py_func) for compiled in kernels.values()}) == len(kernels)


def test_every_kernel_is_launched_as_it_is_compiled_offline() -> None:
    """Without link-time optimisation, which Numba has where the option does not come through."""
    assert [name for name, found in _kernels().items() if found.targetoptions["lto"]] == []


def test_kernels_from_elsewhere_are_not_kept() -> None:
    from osong_kernels.cuda.compile import kernel
    from osong_kernels.cuda.kernel_cache import KernelFiles

    def nothing() -> None:
        return

    assert not isinstance(getattr(kernel(nothing)._cache, "_cache_file", None), KernelFiles)


def test_a_closure_that_cannot_be_told_is_refused() -> None:
    from osong_kernels.cuda.kernel_cache import identity_of

    def closed_over(value: Any) -> Any:
        return lambda: value

    assert identity_of(closed_over(1)) != identity_of(closed_over(2))
    with pytest.raises(TypeError, match="closure holds"):
        identity_of(closed_over([]))


def test_a_file_is_all_there_or_not_there(tmp_path: Path) -> None:
    from osong_kernels.cuda.kernel_cache import KernelFiles

    files = KernelFiles(tmp_path, "name", "stamp")
    assert files.load("key") is None
    files.save("key", {"code": b"x"})
    files.save("other", {"code": b"y"})
    assert files.load("key") == {"code": b"x"}
    assert KernelFiles(tmp_path, "name", "later").load("key") is None
    [file] = [each for each in tmp_path.iterdir() if b"x" in each.read_bytes()]
    whole = file.read_bytes()
    for damaged in (whole[:-1], b"", whole[:-1] + b"?"):
        file.write_bytes(damaged)
        assert files.load("key") is None
    gone = tmp_path / "gone"
    with pytest.raises(OSError, match="gone"):
        KernelFiles(gone, "name", "stamp").save("key", 1)


def test_only_what_nobody_has_written_for_long_is_removed(tmp_path: Path) -> None:
    """Two environments may have one folder."""
    from osong_kernels.cuda.kernel_cache import KernelFiles

    mine, theirs = (KernelFiles(tmp_path, "name", stamp) for stamp in ("mine", "theirs"))
    mine.save("key", 1)
    theirs.save("key", 2)
    assert (mine.load("key"), theirs.load("key")) == (1, 2)
    unfinished = tmp_path / "name.mine.00.kernel.1234"
    unfinished.write_bytes(b"")
    other = tmp_path / "another.mine.00.kernel"
    other.write_bytes(b"")
    for file in tmp_path.iterdir():
        os.utime(file, (1e9, 1e9))
    mine.save("new", 3)
    assert [mine.load(key) for key in ("key", "new")] == [1, 3]
    assert theirs.load("key") is None
    assert not unfinished.exists()
    assert other.exists()
