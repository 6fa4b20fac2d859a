"""A bit that flips on the disk is seen: a number is what was written, or the file is named and its job done again."""

import random
from pathlib import Path

import pytest

from emjax.experiments.archive import records
from emjax.experiments.archive.folder import Archive, StorageError


def flipped(path: Path, place: random.Random) -> bytes:
    """Flip one bit of a file; return what was in it."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place.randrange(len(whole))] ^= 1 << place.randrange(8)
    path.write_bytes(damaged)
    return whole


def unseen(archive: Archive, paths: list[Path], n_flips: int, *, named: bool) -> list[str]:
    """The flips of which reading all rows neither tells nor finds the old values; ``named``: all have to be told."""
    expected = archive.rows()
    place, found = random.Random(5), []
    for number in range(n_flips):
        path = paths[number % len(paths)]
        whole = flipped(path, place)
        try:
            rows = Archive(archive.path).rows()
        except StorageError as error:
            if f"{path}: damaged" not in str(error) or "run the study again" not in str(error):
                found.append(str(error))
        else:
            if named or not rows.equals(expected):
                found.append(f"{path}, flip {number}")
        finally:
            path.write_bytes(whole)
    return found


@pytest.fixture
def collected(tmp_path, study, fill, monkeypatch) -> Archive:
    monkeypatch.setattr(records, "FEW", 0)
    archive = fill(tmp_path / "s", study)
    archive.collect()
    return archive


@pytest.mark.parametrize("n_flips", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_flips_in_the_rows_of_jobs_are_named(collected, n_flips):
    (collected.path / "rows.parquet").unlink()
    assert unseen(collected, sorted(collected.path.glob("jobs/*/rows.parquet")), n_flips, named=True) == []


@pytest.mark.parametrize("name", ["rows.parquet", "index.json"])
@pytest.mark.parametrize("n_flips", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_flips_in_what_follows_from_the_jobs_change_nothing(collected, name, n_flips):
    assert unseen(collected, [collected.path / name], n_flips, named=False) == []


def test_a_rotten_job_is_damaged_is_done_again_and_its_rows_are_back(collected, study, plan, write_job):
    job = plan.jobs[2]
    expected = collected.rows().query("quantity != 'run_seconds'")
    flipped(collected.path / "jobs" / job.key / "rows.parquet", random.Random(1))
    (collected.path / "jobs" / plan.jobs[5].key / "job.json").write_text("{")
    again = Archive(collected.path)
    again.begin(study, plan)
    assert again.damaged(job.key for job in plan.jobs) == sorted([job.key, plan.jobs[5].key])
    for key in (job, plan.jobs[5]):
        write_job(again, key)
    assert again.damaged(job.key for job in plan.jobs) == []
    again.collect()
    assert Archive(collected.path).rows().query("quantity != 'run_seconds'").equals(expected)


def test_the_joined_rows_are_read_where_they_are_whole(collected, monkeypatch):
    from emjax.experiments.archive import rows

    expected = collected.rows()
    monkeypatch.setattr(rows, "read_job_rows", lambda *_: pytest.fail("was read"))
    assert Archive(collected.path).rows().equals(expected)
