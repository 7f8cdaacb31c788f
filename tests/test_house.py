"""The house stands as it is drawn: floors, public names, what is in the wheel, the README."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING

import pytest

import osong

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = (
    "rdkit", "numba", "dask", "distributed", "pandas", "pyarrow", "scipy", "gemmi", "pydantic",
    "torch", "gninatorch", "molgrid",
)  # fmt: skip

BREACHES = [
    ("kernels/osong_kernels", "import osong"),
    ("kernels/osong_kernels", "from osong.box import Box"),
    ("kernels/osong_kernels", "import osong_workflows"),
    ("kernels/osong_kernels", "from rdkit import Chem"),
    ("kernels/osong_kernels", "from pathlib import Path"),
    ("src/osong", "import osong_workflows.api"),
    ("src/osong", "import osong_benchmarks.suite"),
    ("src/osong", "from dask import delayed"),
    ("src/osong", "import distributed"),
    ("src/osong", "import molgrid"),
    ("src/osong", "from gninatorch import models"),
    ("workflows/osong_workflows", "import osong_kernels"),
    ("workflows/osong_workflows", "from rdkit import Chem"),
    ("workflows/osong_workflows", "import numba"),
    ("slurm/osong_slurm", "import osong"),
    ("slurm/osong_slurm", "from osong_workflows.sites import Site"),
]


def lint(root: Path, path: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Lint a source as if it lay at `path`."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--select",
            "TID251",
            "--stdin-filename",
            path,
            "-",
        ],
        input=source,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("folder", "breach"), BREACHES)
def test_linter_refuses_an_import_that_skips_a_floor(root: Path, folder: str, breach: str) -> None:
    done = lint(root, root / folder / "planted.py", f"{breach}\n")
    assert done.returncode == 1, done.stderr
    assert "TID251" in done.stdout


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("kernels/osong_kernels", "import numba\nimport numpy as np\n"),
        ("src/osong", "import osong_kernels\nfrom rdkit import Chem\n"),
        ("workflows/osong_workflows", "import dask\nimport osong\n"),
    ],
)
def test_linter_accepts_the_floor_below(root: Path, folder: str, source: str) -> None:
    done = lint(root, root / folder / "planted.py", source)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", osong.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(osong, name) is not None
    assert name in dir(osong)


def test_public_names_are_those_for_type_checkers(root: Path) -> None:
    """The names under TYPE_CHECKING, the names by module and __all__ are one list."""
    source = (root / "src/osong/__init__.py").read_text()
    typed = source.partition("if TYPE_CHECKING:")[2].partition("__all__")[0]
    imported = set(re.findall(r"\b(?!import|from)([A-Za-z_]+)\b(?=,|\)|\n)", typed))
    by_module = {name for names in osong._NAMES_BY_MODULE.values() for name in names}
    assert by_module == set(osong.__all__)
    assert set(osong.__all__) <= imported


def test_public_names_come_from_where_the_house_says() -> None:
    for module, names in osong._NAMES_BY_MODULE.items():
        exported = importlib.import_module(module).__all__
        assert set(names) <= set(exported), module


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'doc'"):
        _ = osong.doc


@pytest.mark.parametrize("statement", ["import osong", "import osong.cli.main"])
def test_import_is_light(statement: str) -> None:
    """What a user waits for first loads no chemistry, no compiler, no scheduler."""
    code = f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "osong" in loaded
    assert not set(HEAVY) & set(loaded)


def test_kernels_load_numpy_and_numba_only() -> None:
    code = (
        "import pkgutil, importlib, sys, osong_kernels as k\n"
        "for m in pkgutil.walk_packages(k.__path__, 'osong_kernels.'):\n"
        "    importlib.import_module(m.name)\n"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"numpy", "numba"} <= set(loaded)
    assert not {"osong", "osong_workflows", "rdkit", "dask", "pandas", "pyarrow"} & set(loaded)


def sh_blocks(root: Path) -> list[str]:
    readme = (root / "README.md").read_text()
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in fences[:2]] == ["sh", "sh"], "the first two blocks are the commands"
    return [text for kind, text in fences if kind == "sh"]


def test_readme_begins_with_two_commands_of_one_line(root: Path) -> None:
    run, test = sh_blocks(root)[:2]
    assert run.count("\n") == test.count("\n") == 1
    assert " screen " in run
    assert "pytest" in test


def test_readme_commands_use_what_is_there(root: Path) -> None:
    """Extras, files and options of the two commands exist."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for command in sh_blocks(root)[:2]:
        for extra in re.findall(r"'\.\[(\w+)\]'", command):
            assert extra in project["optional-dependencies"]
        for file in re.findall(r"\b[\w/-]+\.(?:sh|txt|smi)\b", command):
            assert (root / file).is_file(), file


def test_constraints_pin_every_direct_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in ("receptor", "dockstring", "duckdb", "polars", "dev"):
        asked += project["optional-dependencies"][extra]
    lines = (root / "constraints.txt").read_text().splitlines()
    pinned = {normal(ln.partition("==")[0]) for ln in lines if "==" in ln}
    wanted = {normal(re.match(r"[\w.-]+", item)[0]) for item in asked} - {"osong"}
    assert wanted <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel built from this checkout."""
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling")
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    "package",
    ["osong", "osong_kernels", "osong_workflows", "osong_benchmarks", "osong_slurm"],
)
def test_wheel_holds_each_package_with_its_types(wheel: list[str], package: str) -> None:
    assert f"{package}/__init__.py" in wheel
    assert f"{package}/py.typed" in wheel


def test_wheel_holds_the_drugs_and_the_licence_and_no_tests(wheel: list[str]) -> None:
    assert "osong/quickstart/drugs.smi" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert not [name for name in wheel if name.startswith(("tests", "benchmarks/", "docs"))]


def test_wheel_holds_the_batch_templates_and_the_site_profiles(
    root: Path, wheel: list[str]
) -> None:
    for path in (root / "slurm/osong_slurm").rglob("*.toml"):
        assert path.relative_to(root / "slurm").as_posix() in wheel
    assert "osong_slurm/pilot.sbatch.jinja" in wheel
    assert "osong_slurm/finish.sbatch.jinja" in wheel
    assert "osong_slurm/sites/generic.toml" in wheel


def test_every_source_file_is_in_the_wheel(root: Path, wheel: list[str]) -> None:
    for package in (
        "src/osong",
        "kernels/osong_kernels",
        "workflows/osong_workflows",
        "benchmarks/osong_benchmarks",
        "slurm/osong_slurm",
    ):
        floor = (root / package).parent
        for path in (root / package).rglob("*.py"):
            assert path.relative_to(floor).as_posix() in wheel
