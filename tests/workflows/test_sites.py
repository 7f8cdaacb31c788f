"""Profiles of clusters: what is accepted, what is refused and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import osong_slurm
from osong.errors import InputError
from osong_workflows.sites import Site, known_sites, load_site, slurm_seconds


@pytest.fixture
def own_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own profiles."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "osong" / "sites"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", osong_slurm.site_names())
def test_each_profile_that_comes_with_osong_is_right(name, own_sites):
    site = load_site(name)
    assert site.name == name
    assert site.description
    assert site.tested == (name == "generic"), "national systems were never tried"
    assert 0 < site.grace_s < site.warning < slurm_seconds(site.time_limit)


def test_unknown_site_is_one_line_with_the_known_names(own_sites):
    (own_sites / "mine.toml").write_text('partition = "p"\n')
    assert known_sites() == sorted([*osong_slurm.site_names(), "mine"])
    with pytest.raises(InputError) as caught:
        load_site("lumy")
    assert "\n" not in str(caught.value)
    assert "'lumy' is unknown" in str(caught.value)
    for name in known_sites():
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["", "../generic", "sites/generic", "/", "nowhere.toml"])
def test_what_is_no_site_is_refused(name, own_sites):
    with pytest.raises(InputError, match=r"--site|unknown"):
        load_site(name)


def test_own_profile_by_name_by_path_and_instead_of_osongs(own_sites, tmp_path):
    (own_sites / "generic.toml").write_text('like = "generic"\npartition = "short"\n')
    assert load_site("generic").partition == "short"
    assert load_site("generic").time_limit == "12:00:00"
    path = tmp_path / "my site.toml"
    path.write_text("cores_per_node = 3\n")
    assert load_site(str(path)).cores_per_node == 3
    assert load_site(str(path)).name == "my site"


def test_profile_like_another_stays_untested_unless_it_says_so(own_sites):
    (own_sites / "mine.toml").write_text('like = "lumi"\naccount = "project_1"\n')
    site = load_site("mine")
    assert (site.partition, site.account, site.tested) == ("standard", "project_1", False)
    (own_sites / "mine.toml").write_text('like = "lumi"\ntested = true\n')
    assert load_site("mine").tested


def test_profiles_that_are_like_each_other_are_refused(own_sites):
    (own_sites / "a.toml").write_text('like = "b"\n')
    (own_sites / "b.toml").write_text('like = "a"\n')
    with pytest.raises(InputError, match="is like itself"):
        load_site("a")


def test_what_is_asked_for_besides_goes_before_the_profile(own_sites):
    site = load_site("lumi", account="project_2", time_limit="30", qos=None)
    assert (site.account, site.time_limit, site.qos) == ("project_2", "30", "")
    with pytest.raises(InputError, match=r"time_limit 'soon': 'soon' is no time for a job"):
        load_site("lumi", time_limit="soon")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nparttion = 1", r":2: parttion is no key .* the keys are account, constraint"),
        ('like = "lumi"\n\n[mpi]\nplug = 3', r":4: mpi\.plug is no key"),
        ("cores_per_node = 0", r":1: cores_per_node: .* greater than or equal to 1, got 0"),
        ('time_limit = "soon"', r":1: time_limit: 'soon' is no time for a job; write minutes"),
        ("time_limit = 12", r":1: time_limit: .*string, got 12"),
        ('launch = "ssh"', r":1: launch: Input should be 'srun', 'mpi' or 'local', got 'ssh'"),
        ('launch = "local"\nnodes_per_pilot = 2', "nodes_per_pilot must be 1"),
        ('container = ["apptainer", "exec", "o.sif"]', 'launch must be "mpi" or "local"'),
        ('launch = "mpi"\n[mpi]\nranks_per_node = 2', "needs 3 ranks or more and a pilot has 2"),
        ('launch = "mpi"\ncores_per_node = 2', "4 ranks cannot share 2 cores"),
        ('time_limit = "10"\nwarning_s = 600', r"warning_s \(600 s\) must be less than time_limit"),
        ('name = "x"', r":1: a site is called like its file"),
        ("like = 3", r":1: like must be the name of a site"),
        ('like = "nowhere"', "site 'nowhere' is unknown"),
        ("partition = 'a", ":1: expected"),
        ('partition = "a\\nb"', ":1: partition"),
        ('account = "a b"', ":1: account"),
        ('qos = "a#b"', ":1: qos"),
        ('constraint = "a\\"b"', ":1: constraint"),
        ('setup = ["export A=1\\nreboot"]', ":1: setup"),
        ('modules = [""]', ":1: modules"),
        ('extra = ["reservation=x"]', ":1: extra: .*an option begins with -"),
        ('extra = ["--a\\n#SBATCH --b"]', ":1: extra"),
        ('scratch = "/tmp\\n"', ":1: scratch"),
    ],
)
def test_bad_profile_is_one_line_with_file_line_and_key(tmp_path, text, message):
    path = tmp_path / "site.toml"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match=message) as caught:
        load_site(str(path))
    assert "\n" not in str(caught.value)
    if "unknown" not in message:
        assert str(path) in str(caught.value)


def test_error_in_a_profile_that_another_is_like_names_its_own_file(own_sites):
    (own_sites / "base.toml").write_text("\n\nmax_array = -1\n")
    (own_sites / "mine.toml").write_text('like = "base"\n')
    with pytest.raises(InputError, match=r"base\.toml:3: max_array"):
        load_site("mine")


def test_profile_cannot_change_once_it_is_read():
    with pytest.raises(ValidationError, match="frozen"):
        load_site("generic").partition = "other"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 60), ("1:30", 90), ("1:00:00", 3600), ("1-0", 86400), ("1-1:1", 90060), ("0-0:0:5", 5)],
)
def test_times_as_slurm_writes_them(text, seconds):
    assert slurm_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "1d", "1:2:3:4", "-1", "1-", "1.5", "1\n"])
def test_times_that_are_none(text):
    with pytest.raises(ValueError, match="no time for a job"):
        slurm_seconds(text)


def test_warning_follows_the_limit_unless_it_is_given():
    assert [Site(time_limit=t).warning for t in ("5", "60", "2-0")] == [30, 360, 600]
    assert Site(time_limit="10", warning_s=60).warning == 60
