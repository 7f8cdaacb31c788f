"""Where the weights of GNINA's networks are, which belong together, and what their files must be.

The package ``gninatorch`` ships those of GNINA 1.0. Its folder is found without importing it, since
it imports molgrid. A folder of the user's may hold others: state dicts, or TorchScript as GNINA 1.3
ships it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENSEMBLES", "LICENCE", "SHIPPED", "WeightsFile", "find_weights", "shipped_folder"]

LICENCE: Final = (
    "weights of GNINA (Apache-2.0, github.com/gnina/gnina), converted by gninatorch (MIT); "
    "cite doi:10.1186/s13321-021-00522-2 and doi:10.1021/acs.jcim.0c00411"
)
LICENCE_OF_OTHERS: Final = "weights of the user's; GNINA's own are Apache-2.0"

SHIPPED: Final[dict[str, str]] = {
    "crossdock_default2018": "56990c0a31a7aa0a57c5445de64c3d59002bc23de9947a8d028548d89ca803b4",
    "crossdock_default2018_1": "b4613eb9085125973951f614ecd86b6fe74d2f3d15244ae9b3cfed06ccca0841",
    "crossdock_default2018_2": "cd581bedc21952000612a439ea24a033090450033174cefccb770a8d8aaf3043",
    "crossdock_default2018_3": "1c19fc36cf8e55bc9a758203845cdd4b70b7a576cbf324bad95a760c2001a691",
    "crossdock_default2018_4": "b8e18e86cf500256e01d75fcb845f6322af4ddfe482e79fcdd444659e67b4010",
    "default2017": "38892bc0dce861508594b36d2e1537c31a8f46dbef6ba96d81588bce5ed21a47",
    "dense": "76bd4a930b9133be5a4eb41b6024df3cc313174998d6a6080877118bc3e7d8c4",
    "dense_1": "89059c61d9d1a73d0e1deaf2b0094b897a7e12a52a0f771bdcbee41e3089c5a8",
    "dense_2": "ae2d1880d55bd24eeabecbcdab6767663600fc29bc146dfab30b82cee56683a5",
    "dense_3": "9091582c40f07e842222a639434987e66492c6875b9366c92e6fb3c3d389c318",
    "dense_4": "93560bad671c65e7fa3abf32266e91c7bc312e15ecdb85d578c926b25b006d81",
    "general_default2018": "762072015181074114c9234b9389d6bef45907e2734651704adfa0c0b6d1095a",
    "general_default2018_1": "38a75047630fabe4d08f9d88c0f8ee8e9b06d25b8735d9e99f1b7a955cf5bd09",
    "general_default2018_2": "2723f05e57b9c9b7b84e2a9a3261cdbb57ad1bd6106b4d0b9700041e35d46a87",
    "general_default2018_3": "e57a2b210bc0070dcb8f5475dae5e3ccaa7491f568a57816bda5db80e362e816",
    "general_default2018_4": "a6ae8381c6f679c6de1f60c1d093aba0a177dd2d142f213dc024beed4bca2df0",
    "redock_default2018": "1263472435239c111125bf26d790d849004c218f29cf43a7675f543a519697ae",
    "redock_default2018_1": "0554f4a580fce2dc8abd9683a3451a886d1de363b2159208996229086689b57b",
    "redock_default2018_2": "df9d51abf6af21b9ebad9ed70ea836b699ac33c3225ec2f0c930230e2c647944",
    "redock_default2018_3": "bef1a9c2385ccc021339c6f0b7c96aa3ea003a010ba8480fa8b38bc8204fedee",
    "redock_default2018_4": "12350ca9d8e1c4bab9605a0ab85f7a055be2522ff97fa33b016ae98d7f031ba8",
}
"""Name and SHA-256 of every file of weights that gninatorch 0.0.2 ships."""

_GNINA_1_0: Final = (
    "dense",
    "general_default2018_3",
    "dense_3",
    "crossdock_default2018",
    "redock_default2018_2",
)
ENSEMBLES: Final[dict[str, tuple[str, ...]]] = {
    "default": _GNINA_1_0,
    "default1.0": _GNINA_1_0,
    "default1.3": ("dense_1_3", "dense_1_3_PT_KD_3", "crossdock_default2018_KD_4"),
    "fast": ("all_default_to_default_1_3_1",),
    **{
        f"{name}_ensemble": (name, *(f"{name}_{k}" for k in range(1, 5)))
        for name in (
            "crossdock_default2018",
            "dense",
            "general_default2018",
            "redock_default2018",
        )
    },
}
"""Members of every named ensemble, in GNINA's order.

``default`` and ``default1.0`` are GNINA 1.0's (doi:10.1186/s13321-021-00522-2); ``default1.3``
and ``fast`` are GNINA 1.3's (its ``cnn_torch_scorer.cpp``), whose files come from a folder of the
user's.
"""

_PACKAGE: Final = "gninatorch"
_PURPOSE: Final = "rescoring with GNINA's networks"
_SUFFIXES: Final = (".pt", ".pth")
_SUMS: Final = "SHA256SUMS"
_SUM_LINE: Final = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights.

    Attributes
    ----------
    name
        The network's name as GNINA has it, or the file's without suffix.
    path
        The file.
    sha256
        Of its bytes, hexadecimal.
    licence
        Whose weights these are, for the results.
    """

    name: str
    path: Path
    sha256: str
    licence: str


def shipped_folder() -> Path:
    """Return the folder of gninatorch's weights.

    Raises
    ------
    MissingExtraError
        If gninatorch is not installed.
    """
    spec = find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise MissingExtraError(_PACKAGE, extra="ml", purpose=_PURPOSE)
    return Path(next(iter(places))) / "weights"


def find_weights(
    models: str | Sequence[str] = "default", folder: str | Path | None = None
) -> tuple[WeightsFile, ...]:
    """Return the files of the networks that were asked for, each checked by its hash.

    Parameters
    ----------
    models
        Names of networks or of ensembles (``ENSEMBLES``), as GNINA has them; ``"all"`` is every
        file of ``folder``.
    folder
        A folder with weights of the user's. It is looked into first, gninatorch's second. Where it
        holds a file ``SHA256SUMS`` (as ``sha256sum`` writes it), its hashes must be met.

    Raises
    ------
    InputError
        If a name is unknown, a file is missing, or a hash is not as it should be.
    MissingExtraError
        If gninatorch is needed and not installed.
    """
    own = _weights_in(Path(folder)) if folder is not None else {}
    found: dict[str, WeightsFile] = {}
    for name in _members(models, own, folder):
        key = _key(name)
        if key in own:
            found[key] = _own_file(own[key])
        elif name in SHIPPED:
            found[key] = _shipped_file(name)
        else:
            raise _unknown(name, folder)
    return tuple(found.values())


def _members(
    models: str | Sequence[str], own: dict[str, Path], folder: str | Path | None
) -> list[str]:
    if models == "all":
        if not own:
            raise InputError("models='all' takes a folder of weights: give one with weights=")
        return [path.stem for _, path in sorted(own.items())]
    asked = [models] if isinstance(models, str) else list(models)
    if not asked:
        raise InputError("no network was named: say models='default', or others by name")
    members: list[str] = []
    for name in asked:
        members += ENSEMBLES.get(name, (name,))
    return members


def _weights_in(folder: Path) -> dict[str, Path]:
    """Return the files of weights in a folder by the name they go by."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of weights")
    found = {_key(path.stem): path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES}
    if not found:
        raise InputError(f"{folder}: holds no weights (files that end in .pt or .pth)")
    return found


def _key(name: str) -> str:
    """Return a name as files and programs agree on it: GNINA 1.3 writes 1.3 here and 1_3 there."""
    return name.replace(".", "_")


def _own_file(path: Path) -> WeightsFile:
    digest = _sha256(path)
    wanted = _sums(path.parent).get(path.name)
    if wanted is not None and wanted != digest:
        raise InputError(
            f"{path}: SHA-256 is {digest}, {path.parent / _SUMS} says {wanted}: the file is "
            "damaged or another; fetch it again, or correct the list"
        )
    is_shipped = digest in SHIPPED.values()
    return WeightsFile(path.stem, path, digest, LICENCE if is_shipped else LICENCE_OF_OTHERS)


def _sums(folder: Path) -> dict[str, str]:
    """Return the hashes that a folder's list has, by file name."""
    try:
        lines = (folder / _SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = (_SUM_LINE.fullmatch(line.strip()) for line in lines)
    return {match[2]: match[1].lower() for match in found if match is not None}


def _shipped_file(name: str) -> WeightsFile:
    path = shipped_folder() / f"{name}.pt"
    if not path.is_file():
        raise InputError(
            f"{path}: not there; put it back: pip install --force-reinstall --no-deps gninatorch"
        )
    digest = _sha256(path)
    if digest != SHIPPED[name]:
        raise InputError(
            f"{path}: SHA-256 is {digest}, not that of gninatorch 0.0.2 ({SHIPPED[name]}); "
            "put it back: pip install --force-reinstall --no-deps gninatorch==0.0.2"
        )
    return WeightsFile(name, path, digest, LICENCE)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _unknown(name: str, folder: str | Path | None) -> InputError:
    in_ensemble = [label for label, members in ENSEMBLES.items() if name in members]
    if in_ensemble:
        label = in_ensemble[0]
        where = f"{folder} lacks it" if folder is not None else "give its folder with weights="
        return InputError(f"{name} (a member of '{label}') is not shipped by gninatorch: {where}")
    known = ", ".join((*ENSEMBLES, *SHIPPED))
    also = f" or in {folder}" if folder is not None else ""
    return InputError(f"no network '{name}' is known{also}; known are {known}")
