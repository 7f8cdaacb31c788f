"""Machine code of device kernels on disk: a process takes what an earlier one has compiled.

Numba has such a cache, and the folders and what is written of a kernel are its own. Two things are
not, since they would let a kernel run that is not the one asked for:

- It takes code for good while the kernel's own file is unchanged, though the code also contains
  helpers of other files. Here a stamp covers all sources and the versions of what compiles them.
- Its index gives numbers to files. Two processes that begin at once may give one number to two
  kernels, such as those of two makes of device that share a home folder. Here a file's name is the
  hash of all that decides about its code, and there is no index.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path  # noqa: TID251  (the one place of device code that has files)
from types import FunctionType
from typing import Any, Final
from uuid import uuid4

from osong_kernels.compile import sources_hash
from osong_kernels.cuda.compile import IS_SIMULATED

if not IS_SIMULATED:
    from numba.cuda import utils
    from numba.cuda.core.caching import Cache
    from numba.cuda.dispatcher import CUDACacheImpl, CUDADispatcher
    from numba.cuda.serialize import dumps
else:  # nothing is compiled
    Cache = CUDACacheImpl = object

__all__ = ["KernelFiles", "compilers_stamp", "identity_of", "keep_on_disk"]

_COMPILERS: Final = (
    "numba", "numba-cuda", "llvmlite", "cuda-core", "cuda-bindings", "nvidia-nvvm",
    "nvidia-nvjitlink", "nvidia-cuda-nvrtc", "nvidia-nvvm-cu12", "nvidia-cuda-nvcc-cu12",
    "nvidia-nvjitlink-cu12", "nvidia-cuda-nvrtc-cu12",
)  # fmt: skip
_DIGEST_BYTES: Final = 16
_KEPT_S: Final = 30 * 86400.0


def keep_on_disk(compiled: Any) -> Any:
    """Let a kernel of this package be taken from disk, or written there once it is compiled.

    Others are compiled anew by each process: the stamp does not cover their sources. So is all
    where no folder can be written.
    """
    if compiled.py_func.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return compiled
    try:
        compiled._cache = _KernelCache(compiled)
    except RuntimeError:  # Numba has found no folder
        return compiled
    return compiled


class _Impl(CUDACacheImpl):
    """What is written of a kernel."""

    def check_cachable(self, kernel: Any) -> bool:
        """Return whether the code is the same for every launch."""
        return not kernel.launch_config_sensitive


class _KernelCache(Cache):
    """Numba's cache of a kernel: its folders and its way of writing, our names and stamp."""

    _impl_class = _Impl

    def __init__(self, compiled: Any) -> None:
        super().__init__(compiled.py_func)
        options = sorted(compiled.targetoptions.items())
        self._identity = f"{identity_of(compiled.py_func)} {options}"
        self._cache_file = KernelFiles(
            Path(self._cache_path), self._impl.filename_base, compilers_stamp()
        )

    def _index_key(self, sig: Any, codegen: Any) -> str:
        # the version of the toolkit and the device's compute capability
        return f"{self._identity} {sig} {codegen.magic_tuple()}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel for types of arguments and this device; None where there is none."""
        with utils.numba_target_override():
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a kernel, if that can be done."""
        try:
            super().save_overload(sig, data)
        except OSError:  # a full disk, or a folder that is no longer there
            return


class KernelFiles:
    """The files of one kernel in a folder, one for each key; older stamps' are removed.

    Parameters
    ----------
    folder, name
        Where, and how files begin.
    stamp
        Of the sources and compilers.
    """

    def __init__(self, folder: Path, name: str, stamp: str) -> None:
        self._folder, self._name, self._stamp = folder, name, stamp

    def load(self, key: str) -> Any:
        """Return what was saved under a key; None if there is nothing, or not all of it."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return pickle.loads(body) if digest == _digest(body) else None

    def save(self, key: str, data: Any) -> None:
        """Write a file as a whole; processes that write the same one write the same."""
        body = dumps(data)
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{uuid4().hex[:12]}")
        try:
            partial.write_bytes(_digest(body) + body)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what nobody has written for long, and what was never finished.

        Not all of another stamp: it may be that of another environment with the same folder.
        """
        newest = time.time() - _KEPT_S
        for old in self._folder.glob(f"{self._name}.*.kernel*"):
            with contextlib.suppress(OSError):
                is_mine = old.name.startswith(f"{self._name}.{self._stamp}.")
                if old.stat().st_mtime < newest and not (is_mine and old.suffix == ".kernel"):
                    old.unlink()

    def flush(self) -> None:
        """Remove all files."""
        for old in self._folder.glob(f"{self._name}.*.kernel"):
            old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{self._name}.{self._stamp}.{_digest(key.encode()).hex()}.kernel"


@cache
def compilers_stamp() -> str:
    """Return a hash of all sources of the kernels, and of the versions of what compiles them."""
    versions = " ".join(f"{name}={_version(name)}" for name in _COMPILERS)
    return _digest(f"{sources_hash(with_cuda=True)} {versions}".encode()).hex()


def identity_of(function: Any) -> str:
    """Return what tells a function from others of the same sources, closures included.

    Raises
    ------
    TypeError
        A closure holds what cannot be told in words.
    """
    cells = [_told(cell.cell_contents) for cell in function.__closure__ or ()]
    return f"{function.__module__}.{function.__qualname__}({', '.join(cells)})"


def _told(value: Any) -> str:
    if isinstance(value, CUDADispatcher):
        return identity_of(value.py_func)
    if isinstance(value, FunctionType):
        return identity_of(value)
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    raise TypeError(f"a kernel's closure holds {value!r}, which names no file of code")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
