"""The file that a user writes: what it means, what is refused and where, what becomes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osong.box import Box
from osong.errors import CampaignError, InputError
from osong.ligands import LigandOptions
from osong.quickstart import DRUGS
from osong.receptor import Target
from osong.receptor.choose import TargetRequest
from osong_workflows.campaign_file import read_campaign_file
from osong_workflows.create import check_folder
from osong_workflows.file_campaigns import campaign_folders, create_campaigns, settings_of
from osong_workflows.file_problems import CampaignFileError, tables_of
from osong_workflows.file_tables import Budget, CampaignTables, Outputs, SearchTable, n_bytes
from osong_workflows.folder import CampaignFolder, locked_by
from osong_workflows.outputs import Wishes, read_outputs, read_wishes, store_wishes, write_outputs
from osong_workflows.plan import SECONDS_PER_MOLECULE, read_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[..., Path]

from campaign_helpers import DOCKER, reopen

STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.010   1.420   0.000  1.00  0.00           C
ATOM      4  O   GLY A   1       1.250   2.390   0.000  1.00  0.00           O
HETATM    7 ZN    ZN A 901       0.000   0.000   6.000  1.00  0.00          ZN
END
"""
BOX = "center = [0.0, 0, 0]\nsize = [20, 20, 20.5]\n"
ONE = 'library = "small.smi"\n[target]\nreceptor = "glycine.pdb"\n' + BOX


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a campaign file beside a library and a receptor."""
    (tmp_path / "small.smi").write_text("CCO ethanol\nCC(=O)N acetamide\nCCN ethylamine\n")
    (tmp_path / "glycine.pdb").write_text(STRUCTURE)

    def write(text: str, name: str = "gly.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def problems(path: Path) -> list[str]:
    """What a file is refused for, without the folder it lies in."""
    with pytest.raises(CampaignFileError) as caught:
        read_campaign_file(path)
    assert all("\n" not in problem for problem in caught.value.problems)
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_what_is_not_said_is_as_on_the_command_line(write: Write) -> None:
    path = write(ONE)
    file = read_campaign_file(path)
    assert file.library == path.parent / "small.smi"
    assert file.out == path.parent / "gly"
    (target,) = file.targets
    assert (target.label, target.folder) == ("glycine", path.parent / "gly")
    assert target.request == TargetRequest(
        receptor=path.parent / "glycine.pdb", center=(0.0, 0.0, 0.0), size=(20.0, 20.0, 20.5)
    )
    assert file.tables.search == SearchTable(effort="fast", scoring="vina", n_poses=3, seed=0)
    assert LigandOptions(**file.tables.ligands.model_dump()) == LigandOptions()
    assert file.tables.reading.given() == {}


def test_defaults_are_those_of_screen() -> None:
    import inspect

    import osong

    defaults = inspect.signature(osong.screen).parameters
    for name, value in SearchTable().model_dump().items():
        assert value == defaults[name].default


def test_every_effort_can_be_asked_for() -> None:
    for effort in SECONDS_PER_MOLECULE:
        assert SearchTable(effort=effort).effort == effort


def test_paths_are_relative_to_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write('out = "../there"\n' + ONE.replace("glycine.pdb", "./glycine.pdb"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = read_campaign_file("../gly.toml")
    assert file.path.resolve() == path
    assert file.library == tmp_path / "small.smi"
    assert file.out == tmp_path.parent / "there"
    assert file.targets[0].request.receptor == tmp_path / "glycine.pdb"


def test_drugs_are_those_of_the_package_unless_there_is_such_a_file(
    write: Write, tmp_path: Path
) -> None:
    path = write(ONE.replace("small.smi", "drugs"))
    assert read_campaign_file(path).library == DRUGS
    (tmp_path / "drugs").write_text("CCO\n")
    assert read_campaign_file(path).library == tmp_path / "drugs"


def test_a_ligand_is_a_file_or_a_residue(write: Write, tmp_path: Path) -> None:
    text = 'library = "small.smi"\n[target]\nreceptor = "glycine.pdb"\nligand_box = "{}"\n'
    (tmp_path / "ligand").touch()
    for written, meant in (
        ("STI", "STI"),
        ("A:STI:201", "A:STI:201"),
        ("ligand", str(tmp_path / "ligand")),
    ):
        file = read_campaign_file(write(text.format(written)))
        assert file.targets[0].request.ligand_box == meant
    found = problems(write(text.format("none.sdf")))
    assert found == [
        "gly.toml:4: target.ligand_box: none.sdf: there is no such file; give a ligand file or a "
        "residue's name"
    ]


def test_several_targets_have_a_folder_each(write: Write) -> None:
    path = write(
        'library = "small.smi"\nout = "runs"\n'
        '[[target]]\nreceptor = "glycine.pdb"\n' + BOX + '[[target]]\nreceptor = "glycine.pdb"\n'
        'label = "again"\nresidues = "A:1, A:901"\n[[target]]\nname = "EGFR"\n'
    )
    file = read_campaign_file(path)
    assert [target.label for target in file.targets] == ["glycine", "again", "EGFR"]
    assert [target.folder for target in file.targets] == [
        path.parent / "runs" / label for label in ("glycine", "again", "EGFR")
    ]
    assert file.targets[1].request.residues == ("A:1", "A:901")


REFUSED = [
    ("", "1: library: is missing; add a line such as"),
    ("", "1: target: is missing; add [target]"),
    ("[target]\nname = 'EGFR'\n", "1: library: is missing"),
    ("library = 'none.smi'\n" + ONE.partition("\n")[2], "1: library: none.smi: there is no such"),
    ("library = ''\n" + ONE.partition("\n")[2], "1: library: is empty"),
    ("# a\n\nlibrary = 3\n", '3: library: should be a text, in quotes, not 3'),
    ("target = 'EGFR'\n", '1: target: should be a table: [target], and its keys below, not "EGFR"'),
    ("target = ['EGFR']\n", "1: target: should be a table: [target]"),
    ("target = []\n", "1: target: should be a table"),
    (ONE + "lignad_box = 'STI'\n", "6: target.lignad_box: is no key in [target]; did you mean "
     "ligand_box?"),
    (ONE + "zzz = 1\n", "6: target.zzz: is no key in [target]; there are: center, "),
    (ONE + "effort = 'fast'\n", "6: target.effort: belongs in [search]; move it there"),
    (ONE + "out = 'x'\n", "6: target.out: belongs above all tables, not in [target]"),
    ("seed = 1\n" + ONE, "1: seed: belongs in [search]"),
    ("n_poses = 1\n" + ONE, "1: n_poses: belongs in [search] or [outputs]"),
    ("effrot = 1\n" + ONE, "1: effrot: is no key here; did you mean [search] effort?"),
    (ONE + "[serach]\nseed = 1\n", "6: serach: is no key here; did you mean search?"),
    (ONE + "[search]\neffort = 'fats'\n", "7: search.effort: should be 'score', 'fast', 'balanced' "
     'or \'thorough\', not "fats"'),
    (ONE + "[search]\nn_poses = '3'\n", '7: search.n_poses: should be a whole number, not "3"'),
    (ONE + "[search]\nseed = true\n", "7: search.seed: should be a whole number, not true"),
    (ONE + "[search]\nseed = -1\n", "7: search.seed: should be greater than or equal to 0, not -1"),
    (ONE + "[search]\nseed = 1979-05-27\n", "7: search.seed: should be a whole number"),
    (ONE + "search = 3\n", "6: target.search: belongs above all tables"),
    (ONE + "[ligands]\nph = 'acid'\n", '7: ligands.ph: should be a number, "auto" or "none"'),
    (ONE + "[ligands]\ntautomers = 'yes'\n", "7: ligands.tautomers: should be true or false"),
    (ONE + "[ligands]\n\nmax_protomers = 0\n", "8: ligands.max_protomers: should be greater"),
    (ONE + "[reading]\nsmiles_column = 1.5\n", "7: reading.smiles_column: should be the name of a "
     "column, or its number"),
    (ONE + "[reading]\nkind = 'xls'\n", "7: reading.kind: should be 'smiles', 'csv'"),
    (ONE + "[budget]\ndisk = 50\n", '7: budget.disk: should be a size with its unit, such as '
     '"50 GB"'),
    (ONE + "[budget]\ndisk = '0 GB'\n", "7: budget.disk: should be a size with its unit"),
    (ONE + "[budget]\ncore_hours = inf\n", "7: budget.core_hours: should be a finite number"),
    (ONE + "[budget]\nmolecule_timeout_s = 0\n", "7: budget.molecule_timeout_s: should be greater"),
    (ONE + "[outputs]\nfiles = [\n'sdf',\n'pdf']\n", "9: outputs.files: should be 'sdf', 'csv'"),
    (ONE + "[outputs]\nhits = 0\n", "7: outputs.hits: should be greater than or equal to 1"),
    (ONE + "[outputs]\nn_poses = 4\n", "7: outputs.n_poses: 4 poses of each hit are to be written "
     "and the search keeps 3; make n_poses of [search] as large"),
    (ONE.replace("glycine.pdb", "none.pdb"), "3: target.receptor: none.pdb: there is no such file"),
    (ONE.replace("size", "# size"), "4: target.center: a box needs both centre and size: add size"),
    (ONE + "name = 'EGFR'\n", "6: target.name: give either receptor FILE or name NAME, not both"),
    (ONE + "padding = -1.0\n", "6: target.padding: should be greater than or equal to 0"),
    (ONE.replace("20.5", "-1"), "5: target.size: should have edges longer than 0 angstrom"),
    (ONE.replace("20.5", "'a'"), "5: target.size: should be three numbers, in angstrom"),
    (ONE.replace("[0.0, 0, 0]", "[0.0, 0]"), "4: target.center: should be three numbers"),
    (ONE + "keep = [1]\n", "6: target.keep: should be a text, in quotes, not 1"),
    ("library = 'small.smi'\n[target]\nlabel = 'x'\n", "2: target.receptor: nothing to dock to"),
    ("library = 'small.smi'\ntarget.name = 'EGFR'\ntarget.keep = 'GOL'\n", "3: target.keep: EGFR: "
     "is ready and taken as it is"),
    ("library = 'small.smi'\ntarget = {name = 'EGFR', hydrogens = 'replace'}\n",
     "2: target.hydrogens: EGFR: is ready"),
    ("out = '.'\n" + ONE, "1: out: "),
    ("out = '..'\n" + ONE, "1: out: "),
    ("out = ''\n" + ONE, "1: out: is empty"),
    ("out = 'small.smi'\n" + ONE, "1: out: small.smi is a file; give a folder"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_wrong_is_said_with_its_line(write: Write, text: str, message: str) -> None:
    found = problems(write(text))
    assert any(problem.startswith(f"gly.toml:{message}") for problem in found), found


@pytest.mark.parametrize("label", ["../x", "a/b", ".a", "", "x" * 65, "a b", "ü", "-x", "a\\n"])
def test_a_label_is_a_safe_name_of_a_folder(write: Write, label: str) -> None:
    (problem,) = problems(write(ONE + f'label = "{label}"\n'))
    assert problem.startswith("gly.toml:6: target.label: should be up to 64 letters")


def test_targets_of_one_label_are_refused(write: Write) -> None:
    one = '[[target]]\nreceptor = "glycine.pdb"\n' + BOX
    (problem,) = problems(write('library = "small.smi"\n' + one + one + 'label = "GLYCINE"\n'))
    assert problem.startswith("gly.toml:10: target.label: another target is called 'GLYCINE' too")
    (problem,) = problems(write('library = "small.smi"\n' + one + one))
    assert problem.startswith("gly.toml:6: target.label: another target is called 'glycine' too")


def test_all_that_is_wrong_is_said_in_the_order_of_the_file(write: Write) -> None:
    path = write('out = 3\nlibrary = 3\n[search]\nseed = -1\n[target]\nnme = "EGFR"\n')
    found = problems(path)
    assert [problem.split(":")[1] for problem in found] == ["1", "2", "4", "6"]
    with pytest.raises(CampaignFileError, match=r"gly\.toml:1: out: .* \(and 3 more problems\)$"):
        read_campaign_file(path)


def test_library_and_results_do_not_lie_in_each_other(write: Write, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.smi").write_text("CCO\n")
    text = ONE.replace("small.smi", "library")
    for out in ("library", "library/run"):
        (problem,) = problems(write(f'out = "{out}"\n' + text))
        assert problem.startswith("gly.toml:1: out: ")
        assert "lie in each other" in problem
    (tmp_path / "gly").mkdir()
    (tmp_path / "gly" / "a.smi").write_text("CCO\n")
    (problem,) = problems(write(ONE.replace("small.smi", "gly/a.smi")))
    assert problem.startswith("gly.toml:1: out: ")


def test_a_file_without_suffix_needs_a_folder(write: Write) -> None:
    (problem,) = problems(write(ONE, "gly"))
    assert problem == "gly:1: out: gly is this file itself; give a folder for the results"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such campaign file; check the path"),
        (lambda path: path.mkdir(), "is a folder; give the campaign file itself"),
        (lambda path: path.write_bytes(b"#" * (2 << 20)), "is larger than a campaign file can be"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08"), ":1: is no text in UTF-8"),
        (
            lambda path: path.write_text("library = small.smi\n"),
            ":1: invalid value; texts stand in",
        ),
        (lambda path: path.write_text('target_key = ""\n'), "is what a campaign folder says of"),
    ],
)
def test_what_is_no_campaign_file(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "a.toml"
    make(path)
    with pytest.raises(InputError) as caught:
        read_campaign_file(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_targets_that_cannot_be_made_are_named_with_their_lines(write: Write) -> None:
    path = write(
        'library = "small.smi"\n[[target]]\nreceptor = "glycine.pdb"\n[[target]]\nlabel = "far"\n'
        'receptor = "glycine.pdb"\ncenter = [90, 90, 90]\nsize = [9, 9, 9]\n'
    )
    with pytest.raises(CampaignFileError) as caught:
        read_campaign_file(path).load_targets()
    first, second = caught.value.problems
    assert "gly.toml:2: target: " in first
    assert "no box" in first
    assert "gly.toml:4: target: far: the box at (90.0, 90.0, 90.0)" in second


@pytest.mark.parametrize(
    ("text", "expected"),
    [("50 GB", 50 * 10**9), ("1.5GiB", 3 * 2**29), ("7 B", 7), ("2kb", 2000), (" 1 TB ", 10**12)],
)
def test_sizes(text: str, expected: int) -> None:
    assert n_bytes(text) == expected


@pytest.mark.parametrize("text", ["50", "GB", "-1 GB", "1 XB", "1e9 B", "", "1 GB/s", 5, None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="should be a size with its unit"):
        n_bytes(text)


VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["true", "'EGFR'", "''", "[]", "{}", "[[1], {a = 2}]", "1979-05-27"]),
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=5),
)


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_is_written_has_its_meaning_or_its_line(
    data: st.DataObject, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (root / "docs" / "campaign-file.md").read_text()
    lines = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[1].splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(["value", "drop", "repeat", "move"]))
        if kind == "value" and " = " in lines[at]:
            lines[at] = lines[at].partition(" = ")[0] + " = " + data.draw(VALUES)
        elif kind == "drop":
            del lines[at]
        elif kind == "repeat":
            lines.insert(at, lines[at])
        else:
            lines.insert(0, lines.pop(at))
    path = tmp_path_factory.getbasetemp() / "mutant.toml"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    message = ""
    try:
        file = read_campaign_file(path, check_inputs=False)
    except InputError as error:
        message = str(error)
    if message:
        assert re.match(re.escape(str(path)) + r":\d+: ", message), message
        assert message.isprintable()
        return
    labels = [target.label for target in file.targets]
    assert len({label.casefold() for label in labels}) == len(labels)
    for target in file.targets:
        assert target.folder in (file.out, file.out / target.label)


# What becomes of it.


def make(path: Path) -> list[CampaignFolder]:
    return create_campaigns(path, workers=2, docker=DOCKER)


def test_a_file_makes_its_campaign_and_finds_it_again(write: Write) -> None:
    path = write(ONE + '[search]\nseed = 5\n[ligands]\nph = "none"\n')
    (folder,) = make(path)
    assert folder.path == path.parent / "gly"
    assert read_plan(folder).n_records == 3
    before = {p: p.stat().st_mtime_ns for p in folder.path.rglob("*") if p.name != "lock"}
    assert make(path) == [folder]
    assert {p: p.stat().st_mtime_ns for p in folder.path.rglob("*") if p.name != "lock"} == before
    settings = reopen(folder.path).settings
    assert (settings.seed, settings.ligands["ph"]) == (5, None)
    assert settings.library == str(path.parent / "small.smi")
    assert Target.load(folder.target).box == Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.5))


def test_a_file_asks_for_the_same_campaign_as_the_command_line(write: Write) -> None:
    from campaign_helpers import fake_screen

    path = write(ONE)
    (folder,) = make(path)
    target = Target.from_file(
        path.parent / "glycine.pdb", box=Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.5))
    )
    campaign = fake_screen(path.parent / "small.smi", folder.path, target=target)
    assert campaign.status().is_finished


def test_a_changed_file_is_refused_with_what_differs(write: Write) -> None:
    (folder,) = make(write(ONE))
    plan = folder.plan.read_bytes()
    for changed, difference in (
        (ONE + "[search]\nseed = 7\n", "seed is 0 there and 7 here"),
        (ONE + "[ligands]\ntautomers = true\n", "ligands.tautomers is False there and True here"),
        (ONE + "[budget]\nmolecule_timeout_s = 5\n", "molecule_timeout_s is 600.0 there"),
        (ONE.replace("20.5", "21"), "target_key is "),
    ):
        with pytest.raises(CampaignError, match=re.escape(difference)):
            make(write(changed))
    assert folder.plan.read_bytes() == plan


def test_a_library_that_is_as_it_was_is_not_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osong_workflows import create

    path = write(ONE)
    (folder,) = make(path)
    with monkeypatch.context() as context:
        context.setattr(create, "read_records", None)
        assert make(path) == [folder]
    library = path.parent / "small.smi"
    library.touch()
    assert make(path) == [folder]  # it was, and is the same
    library.write_text("CCO ethanol\nCC(=O)N acetamide\nCCF fluoroethane\n")
    with pytest.raises(CampaignError, match="has other molecules or another order"):
        make(path)


def test_outputs_and_budget_may_change_and_are_no_part_of_the_campaign(write: Write) -> None:
    (folder,) = make(write(ONE))
    wishes = read_wishes(folder)
    assert wishes == Wishes(file=str(folder.path.parent / "gly.toml"), library=wishes.library)
    key = read_plan(folder).key
    wish = ONE + '[budget]\ndisk = "1 GB"\ncore_hours = 2\n[outputs]\nhits = 2\nfiles = ["csv"]\n'
    (folder,) = make(write(wish))
    assert read_plan(folder).key == key
    assert read_outputs(folder.path) == Outputs(hits=2, files=("csv",))
    assert read_wishes(folder).budget == Budget(disk="1 GB", core_hours=2.0)


def test_damaged_wishes_are_named(tmp_path: Path) -> None:
    folder = CampaignFolder.at(tmp_path)
    assert read_wishes(folder) == Wishes()
    (tmp_path / "wishes.json").write_text('{"outputs": {"hits": 0}}')
    with pytest.raises(CampaignError, match=r"wishes\.json: cannot be read .* remove it"):
        read_wishes(folder)


def test_outputs_are_written_as_asked(write: Write) -> None:
    kinds = json.dumps(["sdf", "csv", "parquet", "smiles"])
    (folder,) = make(write(ONE + f"[outputs]\nhits = 2\nn_poses = 3\nfiles = {kinds}\n"))
    assert write_outputs(reopen(folder.path)) == []
    campaign = reopen(folder.path).resume(runner="serial", progress=False)
    written = write_outputs(campaign)
    assert [path.name for path in written] == ["hits.sdf", "hits.csv", "hits.parquet", "hits.smi"]
    assert (folder.path / "hits.sdf").read_text().count("$$$$") == 6
    assert len((folder.path / "hits.smi").read_text().splitlines()) == 2
    store_wishes(folder, Wishes(outputs=Outputs(files=("csv",))))
    assert [path.name for path in write_outputs(campaign)] == ["hits.csv"]
    assert len((folder.path / "hits.csv").read_text().splitlines()) == 4


def test_of_many_pilots_one_writes_the_outputs(write: Write) -> None:
    (folder,) = make(write(ONE + '[outputs]\nfiles = ["csv"]\n'))
    campaign = reopen(folder.path).resume(runner="serial", progress=False)
    with locked_by(folder.path / "outputs.lock", "campaign folder"):
        assert write_outputs(campaign, only_missing=True) == []
    assert not (folder.path / "hits.csv").exists()
    half = folder.path / ".hits.csv.of-another.tmp"
    half.write_text("half")
    # One that ends later sweeps, and must not take away what the first is writing.
    reopen(folder.path).resume(runner="serial", progress=False)
    assert half.exists()
    assert write_outputs(campaign, only_missing=True) == [folder.path / "hits.csv"]
    assert not half.exists()
    written = (folder.path / "hits.csv").stat().st_ino
    assert write_outputs(campaign, only_missing=True) == [folder.path / "hits.csv"]
    assert (folder.path / "hits.csv").stat().st_ino == written


def test_folders_of_a_file_a_folder_and_a_parent(write: Write, tmp_path: Path) -> None:
    one = '[[target]]\nreceptor = "glycine.pdb"\n' + BOX
    text = 'library = "small.smi"\nout = "runs"\n' + one + one + 'label = "b"\n'
    path = write(text, "campaign.toml")
    for nothing_yet in (path, tmp_path):
        with pytest.raises(CampaignError, match=r"has not begun; begin with: osong submit"):
            campaign_folders(nothing_yet)
    both = [folder.path for folder in make(path)]
    assert both == [tmp_path / "runs" / "glycine", tmp_path / "runs" / "b"]
    # The user's file of that name is told from a campaign folder's own.
    assert campaign_folders(path) == campaign_folders(tmp_path) == both
    assert campaign_folders(tmp_path / "runs") == sorted(both)
    assert campaign_folders(both[0]) == campaign_folders(both[0] / "campaign.toml") == [both[0]]
    # A look at results needs neither library nor receptor.
    (tmp_path / "small.smi").unlink()
    (tmp_path / "glycine.pdb").unlink()
    assert campaign_folders(path) == both


def test_what_is_no_campaign_has_no_folders(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="there is no such file or folder"):
        campaign_folders(tmp_path / "none")
    with pytest.raises(CampaignError, match="is no campaign folder"):
        campaign_folders(tmp_path)


def test_settings_of_a_file_fit_its_folder(write: Write) -> None:
    (folder,) = make(write(ONE))
    file = read_campaign_file(folder.path.parent / "gly.toml")
    (target,) = file.load_targets()
    check_folder(folder, settings_of(file, target, docker=DOCKER))


# The documentation.


def test_examples_of_the_documentation_are_campaign_files(
    root: Path, tmp_path: Path, write: Write
) -> None:
    text = (root / "docs" / "campaign-file.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    (tmp_path / "library.smi.gz").write_text("smiles,id\nCCO,x\n")
    for name in ("1iep.cif.gz", "receptor.pdbqt"):
        (tmp_path / name).touch()
    small, full = (read_campaign_file(write(example)) for example in examples)
    assert [target.label for target in small.targets] == ["EGFR"]
    labels = [target.label for target in full.targets]
    assert labels == ["abl1", "abl1-residues", "abl1-box", "EGFR"]
    assert set(full.tables.model_dump(exclude_unset=True)) == set(CampaignTables.model_fields)


def test_every_key_is_in_the_documentation(root: Path) -> None:
    text = (root / "docs" / "campaign-file.md").read_text()
    for table, model in tables_of().items():
        section = text.partition(f"\n## `[{table}]`\n")[2].partition("\n## ")[0]
        documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert sorted(documented) == sorted(model.model_fields)
        example = text.partition("\n## Everything\n")[2].partition("\n## ")[0]
        for key in set(model.model_fields):
            assert re.search(rf"^{key} = ", example, re.MULTILINE), key
