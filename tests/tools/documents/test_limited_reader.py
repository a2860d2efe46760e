"""What reading a file may do: to its process, and to nothing else."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import Unreadable
from signoff.tools.documents.limited_reader import read_apart, read_document_apart

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the limits that POSIX gives processes")

HOSTILE = """
import os, sys, time

def read(name, raw, **options):
    yield os.getpid()
    yield eval(name, {"os": os, "raw": raw, "time": time, **options})
"""


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A reading that does what the file's name says."""
    (tmp_path / "hostile_reading.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    import hostile_reading  # type: ignore[import-not-found]  # written above

    yield hostile_reading.read
    del sys.modules["hostile_reading"]


def test_one_process_reads_file_after_file(reading: Any) -> None:
    first, found = read_apart(reading, "raw * 2", b"\xff\n", other=1)
    second, more = read_apart(reading, "other", b"", other=[1, {"a": None}])
    assert (found, more) == (b"\xff\n\xff\n", [1, {"a": None}])
    assert first == second != os.getpid()


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("bytearray(3 << 30)", "more than 2,000 MB of memory"),
        ("[[] for _ in iter(int, 1)]", "more than (2,000 MB of memory|1 seconds)"),
        ("[0 for _ in iter(int, 1) if 0]", "more than 1 seconds of processor time"),
        ("os.abort()", "ended with -6"),
        ("1 / 0", "ended with 1"),
    ],
)
def test_a_file_that_takes_too_much_is_refused_and_the_next_one_is_read(reading: Any, does: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        list(read_apart(reading, does, b"", seconds=1))
    assert list(read_apart(reading, "1", b""))[1:] == [1]


def test_an_answer_without_end_is_not_taken_in(reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signoff.tools.documents.limited_reader.LONGEST", 1_000_000)
    with pytest.raises(Unreadable, match="what is in it takes more than 1 MB"):
        list(read_apart(reading, "'x' * 2_000_000", b""))


def test_the_process_knows_nothing_of_ours_and_writes_nothing(
    reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert not any("KEY" in name for name in list(read_apart(reading, "dict(os.environ)", b""))[1])
    with pytest.raises(Unreadable):
        list(read_apart(reading, f"open({str(tmp_path / 'new')!r}, 'wb').write(b'a' * 100_000)", b""))
    assert not (tmp_path / "new").exists() or (tmp_path / "new").stat().st_size == 0


def test_what_a_library_prints_is_no_answer(reading: Any) -> None:
    assert list(read_apart(reading, "print('{}') or os.system('echo {}') and 0", b""))[1] == 0


def test_a_process_whose_answer_was_not_heard_to_the_end_is_not_asked_again(reading: Any) -> None:
    heard = read_apart(reading, "'x'", b"")
    first = next(heard)
    heard.close()
    assert next(read_apart(reading, "1", b"")) != first


def test_a_process_that_died_while_it_waited_is_replaced(reading: Any) -> None:
    (process, _) = read_apart(reading, "1", b"")
    os.kill(process, 9)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert list(read_apart(reading, "2", b""))[1] == 2


def test_several_threads_read_at_once() -> None:
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda at: read_document_apart("a.md", f"# T{at}\n\nText.".encode()).title, range(12))
    assert list(found) == [f"T{at}" for at in range(12)]


def test_a_forked_process_has_a_reader_of_its_own(reading: Any) -> None:
    (ours, _) = read_apart(reading, "1", b"")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(next(read_apart(reading, "1", b""))).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as told:
        assert int(told.read()) != ours
    os.waitpid(child, 0)
    assert next(read_apart(reading, "1", b"")) == ours
