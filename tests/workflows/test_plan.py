"""Settings, staging and plan: what is written before anything runs."""

from __future__ import annotations

import pytest
from campaign_helpers import FakeTarget, fake_screen, molecules
from hypothesis import given, settings
from hypothesis import strategies as st

from osong.errors import CampaignError
from osong.library import Record
from osong_workflows import staging
from osong_workflows.cutting import choose_cut
from osong_workflows.folder import CampaignFolder
from osong_workflows.part_names import finished_shards
from osong_workflows.plan import Plan, chunk_records, read_plan
from osong_workflows.settings import CampaignSettings, read_settings
from osong_workflows.staging import library_digest, read_staged, stage_library

texts = st.text(max_size=30)


def records(rows: list[tuple[str, str]]) -> list[Record]:
    return [Record(i, n, f"f:{i}", "smiles", d) for i, (n, d) in enumerate(rows)]


@given(
    n_records=st.integers(1, 10**10),
    workers=st.integers(1, 100_000),
    seconds=st.floats(1e-3, 1e4),
)
def test_chunks_are_minutes_and_files_are_few(n_records, workers, seconds):
    cut = choose_cut(n_records, seconds, workers)
    size = cut.chunk_size
    assert 1 <= size <= n_records
    assert size == 1 or size * seconds <= 240, "a killed run would lose more than some minutes"
    assert size * cut.shard_chunks <= 131_072, "a file of more would be clumsy"
    assert cut.n_shards <= max(620, n_records / 100_000)
    if n_records * seconds <= 240 * workers:
        assert cut.n_chunks >= min(n_records, 2 * workers), "workers would be idle"
    if cut.n_coarse is not None:
        fine_records = n_records - cut.start(cut.n_coarse * cut.shard_chunks)
        assert 0 < fine_records <= n_records / 8, "most are in chunks of minutes"
        assert cut.n_coarse == cut.fine_from < cut.n_shards
        assert cut.fine_size <= size / 2


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=40), group=st.integers(1, 7))
def test_staged_records_come_back(tmp_path_factory, rows, group):
    folder = tmp_path_factory.mktemp("stage") / "input"
    given_records = records(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "_GROUP_RECORDS", group)
        patch.setattr(staging, "FILE_RECORDS", 3 * group)
        staged = stage_library(given_records, folder)
    assert staged.n_records == len(rows)
    assert len(staged.files) == -(-len(rows) // (3 * group))
    assert list(read_staged(folder, staged.files, 0, len(rows))) == given_records
    for start in range(0, len(rows), 5):
        n = min(6, len(rows) - start)
        assert list(read_staged(folder, staged.files, start, n)) == given_records[start : start + n]
    assert library_digest(given_records) == staged.digest


def test_text_that_is_no_unicode_is_kept_as_far_as_it_goes(tmp_path):
    staged = stage_library(records([("b\udcffd", "C\udc80C")]), tmp_path / "input")
    (record,) = read_staged(tmp_path / "input", staged.files, 0, 1)
    assert (record.name, record.data) == ("b?d", "C?C")


@pytest.mark.parametrize(
    "other", [[("a", "CC"), ("b", "C")], [("ab", "C"), ("", "C")], [("a", "C")], [("b", "C")] * 2]
)
def test_digest_tells_libraries_apart(other):
    assert library_digest(records([("a", "C"), ("b", "C")])) != library_digest(records(other))


def test_large_records_make_small_row_groups(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr(staging, "_GROUP_CHARACTERS", 1000)
    stage_library(records([("m", "C" * 400)] * 10), tmp_path / "input")
    with pq.ParquetFile(tmp_path / "input" / "records-00000.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(4)] == [3, 3, 3, 1]


names = st.text(max_size=20)
values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), names)


@settings(max_examples=60, deadline=None)
@given(
    name=names,
    ligands=st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), values, max_size=4),
)
def test_settings_survive_their_file(tmp_path_factory, name, ligands):
    ligands = {k: v for k, v in ligands.items() if v != "none"}
    asked = CampaignSettings(
        target_name=name,
        target_key="00",
        library=name,
        scoring="vina",
        effort="fast",
        n_poses=3,
        seed=7,
        molecule_timeout_s=0.5,
        docker="a:b",
        ligands=ligands,
    )
    path = tmp_path_factory.mktemp("settings") / "campaign.toml"
    path.write_text(asked.to_toml(), encoding="utf-8", newline="")
    assert read_settings(path) == asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed = 0", "seed = 0\nsed = 1"), "sed: Extra inputs"),
        (("seed = 0", "seed = -1"), "seed: .*got -1"),
        (("seed = 0", "seed ="), "cannot be read"),
        (("seed = 0\n", ""), "seed: Field required"),
    ],
)
def test_bad_settings_are_one_line(tmp_path, change, message):
    campaign = fake_screen(molecules(2), tmp_path / "run")
    path = campaign.folder / "campaign.toml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(CampaignError, match=message) as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)


def test_plan_says_what_it_costs_before_anything_runs(tmp_path):
    campaign = fake_screen(molecules(100), tmp_path / "run", chunk_size=30)
    plan = read_plan(campaign._folder)
    assert [(c.start, c.n_records) for c in plan.chunks()] == [
        (0, 30),
        (30, 30),
        (60, 30),
        (90, 10),
    ]
    files = [path for path in campaign.folder.rglob("*") if path.is_file()]
    assert plan.n_files == len(files) + 2 == 13, "two outputs may follow"
    assert sum(path.stat().st_size for path in (campaign.folder / "parts").iterdir()) < (
        plan.parts_bytes
    )
    assert plan.memory_bytes_per_worker > 600 * 2**20
    assert [r.name for r in chunk_records(campaign._folder, plan, plan.chunk(3))] == [
        f"m{i}" for i in range(90, 100)
    ]


def test_chunk_keys_depend_on_all_that_matters(tmp_path):
    def keys(out, library, **options):
        plan = fake_screen(library, tmp_path / out, **options).plan
        return [chunk.key for chunk in plan.chunks()]

    library = molecules(4)
    base = keys("a", library, chunk_size=2)
    assert keys("b", library, chunk_size=2) == base
    changed = keys("c", [*library[:3], ("CCCC", "other")], chunk_size=2)
    assert not set(base) & set(changed)
    assert not set(base) & set(keys("d", library, chunk_size=2, seed=1))
    assert not set(base) & set(
        keys("e", library, chunk_size=2, target=FakeTarget(key=b"another target.."))
    )


def test_parts_of_more_than_a_million_chunks_are_found(tmp_path):
    plan = fake_screen(molecules(2), tmp_path / "run", chunk_size=1).plan
    plan = plan.model_copy(update={"n_records": 1_000_001})
    folder = CampaignFolder.at(tmp_path / "run")
    part = folder.parts / f"1000000-{plan.shard(1_000_000).key[:16]}-{'0' * 32}.parquet"
    part.touch()
    assert finished_shards(folder, plan)[1_000_000] == part


@given(
    n_records=st.integers(1, 5000), chunk_size=st.integers(1, 400), shard_chunks=st.integers(1, 9),
    n_coarse=st.none() | st.integers(0, 10), fine_size=st.integers(1, 60),
)  # fmt: skip
def test_shards_and_chunks_cover_the_library_once(
    n_records, chunk_size, shard_chunks, n_coarse, fine_size
):
    if n_coarse is not None:
        n_coarse = min(n_coarse, n_records // (chunk_size * shard_chunks))
    plan = Plan(
        n_records=n_records,
        chunk_size=chunk_size,
        shard_chunks=shard_chunks,
        n_coarse=n_coarse,
        fine_size=fine_size,
        settings_digest="s",
        library_digest="l",
        input_bytes=0,
        parts_bytes=0,
        memory_bytes_per_worker=0,
        n_files=0,
        input_files=(),
    )
    chunks = list(plan.chunks())
    assert [i for c in chunks for i in range(c.start, c.start + c.n_records)] == list(
        range(n_records)
    )
    shards = [plan.shard(index) for index in range(plan.n_shards)]
    assert [i for shard in shards for i in shard.chunks] == list(range(plan.n_chunks))
    for shard in shards:
        assert shard.start == chunks[shard.first_chunk].start
        assert shard.n_records == sum(chunks[i].n_records for i in shard.chunks)
        assert {plan.shard_of(i) for i in shard.chunks} == {shard.index}
    for chunk in chunks[:-1]:
        is_fine = n_coarse is not None and plan.shard_of(chunk.index) >= n_coarse
        assert chunk.n_records == (fine_size if is_fine else chunk_size)
    for index in (-1, plan.n_chunks):
        with pytest.raises(IndexError):
            plan.chunk(index)


def test_plan_of_another_version_is_refused(tmp_path):
    campaign = fake_screen(molecules(2), tmp_path / "run")
    path = campaign.folder / "plan.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 2'))
    with pytest.raises(CampaignError, match="has format 2 and this Osong reads format 3"):
        read_plan(campaign._folder)


def test_damaged_plan_is_one_line(tmp_path):
    campaign = fake_screen(molecules(2), tmp_path / "run")
    path = campaign.folder / "plan.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(CampaignError, match=r"plan\.json: cannot be read") as caught:
        read_plan(campaign._folder)
    assert "\n" not in str(caught.value)


def test_damaged_records_are_not_docked(tmp_path):
    """A flipped bit in the campaign's copy of the library is found when it is read."""
    staged = stage_library(
        records([(f"m{i}", "CCO" * (i % 9)) for i in range(500)]), tmp_path / "i"
    )
    path = tmp_path / "i" / staged.files[0].name
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(CampaignError, match="copy of the library cannot be read"):
        list(read_staged(tmp_path / "i", staged.files, 0, 500))
