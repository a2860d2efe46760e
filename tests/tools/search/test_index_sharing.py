"""One index, many users: threads, processes, and processes that are killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import warm

from signoff.errors import DatabaseUnusable
from signoff.tools.documents.reader import read_document
from signoff.tools.search.sources import Sources

Opened = Callable[..., Sources]

REFRESH = """
import sys
from signoff.tools.search.sources import Sources
sources = Sources.open(sys.argv[1], database=sys.argv[2])
report = sources.refresh(lambda progress: print(progress.done, flush=True))
sources.close()
"""


def write(folder: Path, count: int) -> None:
    for number in range(count):
        sections = "".join(f"## Part {part}\n\nWords of part {part}, number {number}.\n\n" for part in range(5))
        (folder / f"{number:04}.md").write_text(f"# Document {number}\n\n{sections}")


def start_refresh(folder: Path, database: Path) -> warm.WarmProcess:
    command = [sys.executable, "-c", REFRESH, str(folder), str(database)]
    return warm.start(command, stdout=subprocess.PIPE, text=True)


def check_whole(database: Path, folder: Path) -> int:
    """Every document that can be seen has all its passages, in the tables and in the full-text index."""
    with sqlite3.connect(database, timeout=30) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        connection.execute("insert into passages_fts (passages_fts) values ('integrity-check')")
        rows = connection.execute(
            "select d.path, d.sha256, d.text, count(p.id) from documents d"
            " left join passages p on p.document = d.id group by d.id"
        ).fetchall()
        orphans = "select count(*) from passages where document not in (select id from documents)"
        assert connection.execute(orphans).fetchone() == (0,)
    connection.close()
    for path, digest, text, passages in rows:
        raw = (folder / path).read_bytes()
        if hashlib.sha256(raw).hexdigest() == digest:  # else it changed since
            document = read_document(path, raw)
            assert (text, passages) == (document.text, len(document.spans))
    return len(rows)


def test_searching_goes_on_in_other_threads_while_one_refreshes(folder: Path, opened: Opened) -> None:
    write(folder, 300)
    sources = opened(folder)
    with ThreadPoolExecutor(5) as pool:
        refreshing = pool.submit(sources.refresh)

        def search() -> set[int]:
            found = {len(sources.passages_of(passage.source)) for passage in sources.search("words part number")}
            while not refreshing.done():
                found |= {len(sources.passages_of(passage.source)) for passage in sources.search("words part number")}
            return found

        seen = [pool.submit(search) for _ in range(4)]
        assert refreshing.result().documents == 300
        assert set().union(*(found.result() for found in seen)) <= {5}


def test_threads_that_refresh_at_once_index_each_document_once(folder: Path, opened: Opened) -> None:
    write(folder, 60)
    sources = opened(folder)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: sources.refresh(), range(4)))
    assert sum(report.added for report in reports) == 60
    assert (sources.documents, sources.passages) == (60, 300)


def test_processes_that_refresh_at_once_agree(folder: Path, tmp_path: Path, opened: Opened) -> None:
    write(folder, 200)
    database = tmp_path / "index.db"
    running = [start_refresh(folder, database) for _ in range(3)]
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert check_whole(database, folder) == 200
    assert opened(folder, database=database).refresh().unchanged == 200


@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_refresh_killed_at_any_moment_leaves_an_index_that_the_next_one_completes(
    folder: Path, tmp_path: Path, opened: Opened
) -> None:
    write(folder, 400)
    database = tmp_path / "index.db"
    chance = random.Random(7)
    seen = []
    for _ in range(4):
        process = start_refresh(folder, database)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 390)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        seen.append(check_whole(database, folder))
        (folder / f"{chance.randrange(400):04}.md").write_text("# Changed\n\nOther words.")
    assert max(seen) > 0
    for path in folder.iterdir():
        path.write_text(path.read_text() + "\n\nOne more line.\n")
    told = opened(folder, database=database).refresh()
    assert told.documents == 400
    assert check_whole(database, folder) == 400


def test_a_refresh_that_is_interrupted_leaves_a_whole_index(folder: Path, tmp_path: Path, opened: Opened) -> None:
    write(folder, 250)
    sources = opened(folder, database=tmp_path / "index.db")

    def stop(progress: object) -> None:
        if sources.documents:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sources.refresh(stop)
    assert 0 < check_whole(tmp_path / "index.db", folder) < 250
    assert sources.refresh().documents == 250


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_full_disk_is_one_clear_line_and_the_index_can_be_completed(
    folder: Path, tmp_path: Path, opened: Opened
) -> None:
    import resource

    write(folder, 400)
    sources = opened(folder, database=tmp_path / "index.db")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(DatabaseUnusable, match="Cannot use the database") as caught:
            sources.refresh()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert sources.refresh().documents == 400
    sources.close()
    assert check_whole(tmp_path / "index.db", folder) == 400


def test_searching_does_not_wait_for_another_program_that_writes(folder: Path, tmp_path: Path, opened: Opened) -> None:
    write(folder, 1)
    sources = opened(folder, database=tmp_path / "index.db")
    sources.refresh()
    with sqlite3.connect(tmp_path / "index.db", isolation_level=None) as other:
        other.execute("begin immediate")
        assert len(sources.search("words")) == 5
        other.execute("rollback")
    other.close()
