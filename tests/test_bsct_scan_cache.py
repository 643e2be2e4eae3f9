"""The cache of scans: same scans, never stale ones, safe against damage and company."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scan_files import edit, same, write_set

from mlip_design.bsct import ScanError, load_scans, scan_cache, scans


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scans"


@pytest.fixture
def root(tmp_path) -> Path:
    """Seven systems."""
    return write_set(tmp_path / "scans")


@pytest.fixture
def n_read(monkeypatch) -> list[str]:
    """Names of the systems that were read from their files since the test began."""
    read, names = scans.read_system, []

    def counted(system):
        names.append(system.name)
        return read(system)

    monkeypatch.setattr(scans, "read_system", counted)
    return names


def test_the_second_time_nothing_is_read(root, cache, n_read):
    first, second = load_scans(root), load_scans(root)
    assert len(n_read) == 7
    assert all(same(*pair) for pair in zip(first, second, strict=True))
    assert len(list(cache.glob("*.npz"))) == 1


def test_a_copy_elsewhere_is_known_by_its_content(root, tmp_path, n_read):
    load_scans(root)
    root.rename(tmp_path / "moved")
    load_scans(tmp_path / "moved")
    assert len(n_read) == 7


def test_a_change_is_seen_even_if_size_and_time_of_the_file_stay(root, n_read, monkeypatch):
    """The hash that is remembered must not outlive the file: `touch -r` after an edit deceives size and mtime."""
    monkeypatch.setattr(scan_cache, "RACE", 0.0)
    time.sleep(0.05)
    load_scans(root)
    path = root / "C-N" / "1" / "atoms_2.xyz"
    before = path.stat()
    time.sleep(0.05)
    edit(path, "energy=0.5", "energy=0.6")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert 0.6 in load_scans(root)[2].energies


def test_young_files_are_hashed_again(root, cache):
    """Within the clock's step a second change would not show."""
    load_scans(root)
    assert not list(cache.glob("*.key"))


def test_old_files_are_not_opened(root, monkeypatch, cache):
    monkeypatch.setattr(scan_cache, "RACE", 0.0)
    time.sleep(0.05)
    load_scans(root)
    monkeypatch.setattr(scan_cache, "content_hash", None)
    assert len(load_scans(root)) == 7


def test_a_part_has_an_entry_of_its_own(root, n_read):
    load_scans(root, limit=2)
    assert len(load_scans(root)) == 7
    assert [scan.name for scan in load_scans(root, limit=2)] == n_read[:2]


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04 junk", None])
def test_a_damaged_entry_is_made_again(root, cache, n_read, junk):
    load_scans(root)
    (entry,) = cache.glob("*.npz")
    content = entry.read_bytes()
    entry.write_bytes(content[: len(content) // 2] if junk is None else junk)
    assert len(load_scans(root)) == 7
    assert len(n_read) == 14
    assert entry.read_bytes() == content


def test_errors_are_not_kept(root, n_read):
    edit(root / "C-N" / "1" / "atoms_2.xyz", "H ", "F ")
    for _ in range(2):
        with pytest.raises(ScanError, match="atoms are CNF"):
            load_scans(root)


def test_several_at_once(root, cache):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: load_scans(root), range(8)))
    assert all(same(*pair) for some in found for pair in zip(found[0], some, strict=True))
    assert [path.suffix for path in cache.iterdir()] == [".npz"]


def test_a_cache_that_cannot_be_written(root, cache, monkeypatch):
    cache.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the cache cannot be written: .*cache"):
        assert len(load_scans(root)) == 7
