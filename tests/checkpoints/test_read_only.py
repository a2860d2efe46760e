"""A file that this process may not write, or that stands in a folder that it may not write, can be read."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from signoff import Ledger
from signoff.checkpoints.saver.encoding.encryption import new_key
from signoff.checkpoints.saver.rows import checkpoint_ids, list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
KEY = new_key()

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="rights are given up in a fork of this process")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made) / "home"
        for path in (Path(made), home):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        yield home
        home.chmod(0o755)


def put(saver: SqliteCheckpointer, number: int) -> Any:
    checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": {"x": [HumanMessage(str(number))]}}
    return saver.put(CONFIG, checkpoint, {"source": "loop", "step": number}, {})


def look(path: Path, key: str | None = None) -> str:
    """All that can be read, as text."""
    with SqliteCheckpointer(path, key=key) as saver:
        found = saver.get_tuple(CONFIG)
        assert found is not None
        listed = [one.checkpoint["channel_values"]["x"][0].content for one in saver.list(CONFIG)]
        newest = found.checkpoint["channel_values"]["x"][0].content
        known = [thread.name for thread in list_threads(path)], len(checkpoint_ids(path, "t"))
        return repr((newest, listed, list(saver.check()), saver.stats().checkpoints, known))


def as_one_who_may_not_write(call: Callable[[], object]) -> str:
    """What the call returns, or raises, without the rights of root."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            said = str(call())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(mouth, said.encode())
        os._exit(0)
    os.close(mouth)
    os.waitpid(child, 0)
    with os.fdopen(ear) as answer:
        return answer.read()


WHOLE = "('2', ['2', '1', '0'], [], 3, (['t'], 3))"


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("of_file", "of_folder"), [(0o444, 0o777), (0o666, 0o555), (0o444, 0o555)])
def test_it_is_read_whole_and_nothing_is_written(folder: Path, of_file: int, of_folder: int, key: str | None) -> None:
    path = folder / "saver.db"
    with SqliteCheckpointer(path, key=key) as saver:
        for number in range(3):
            put(saver, number)
    before = path.read_bytes()
    path.chmod(of_file)
    folder.chmod(of_folder)
    assert as_one_who_may_not_write(lambda: look(path, key)) == WHOLE
    refused = as_one_who_may_not_write(lambda: put(SqliteCheckpointer(path, key=key), 3))
    assert refused.startswith("DatabaseUnusable: ")
    assert "readonly database. Nothing committed was lost" in refused
    assert path.read_bytes() == before


def test_the_ledger_is_read_too(folder: Path) -> None:
    path = folder / "saver.db"
    ledger = Ledger(path)
    ledger.people.give("ann", "editor", by="me")
    ledger.close()
    folder.chmod(0o555)
    assert as_one_who_may_not_write(lambda: Ledger(path).people.list()) == "{'ann': frozenset({'editor'})}"
    refused = as_one_who_may_not_write(lambda: Ledger(path).people.give("bob", "editor", by="me"))
    assert "readonly database. Nothing committed was lost" in refused


@pytest.mark.parametrize("of_folder", [0o777, 0o555])
def test_what_another_process_is_still_writing_is_read_too(folder: Path, of_folder: int) -> None:
    path = folder / "saver.db"
    with SqliteCheckpointer(path) as saver:
        for number in range(3):
            put(saver, number)
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(of_folder)
        assert as_one_who_may_not_write(lambda: look(path)) == WHOLE
        put(saver, 3)
        assert as_one_who_may_not_write(lambda: look(path)).startswith("('3', ['3', '2', '1', '0']")


def test_a_copy_that_can_only_be_read_where_one_may_write_says_so(folder: Path) -> None:
    path, copy = folder / "saver.db", folder / "copy.db"
    with SqliteCheckpointer(path) as saver:
        put(saver, 0)
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    folder.chmod(0o555)
    said = as_one_who_may_not_write(lambda: look(copy))
    assert said.startswith("DatabaseUnusable: ")
    assert "copy both into one" in said


def test_a_reader_that_stays_sees_what_a_writer_adds(folder: Path) -> None:
    """Somebody who may write begins only after somebody who may not has begun to read."""
    path = folder / "saver.db"
    with SqliteCheckpointer(path) as saver:
        put(saver, 0)
    path.chmod(0o444)
    folder.chmod(0o555)
    to_reader, writer_said = os.pipe()
    to_writer, reader_said = os.pipe()

    def read_twice() -> str:
        with SqliteCheckpointer(path) as reader:
            first = len(list(reader.list(CONFIG)))
            os.write(reader_said, b".")
            os.read(to_reader, 1)
            return f"{first} {len(list(reader.list(CONFIG)))}"

    if os.getuid() != 0:
        pytest.skip("only root may write here")
    child = os.fork()
    if not child:
        os.read(to_writer, 1)
        with SqliteCheckpointer(path) as saver:
            put(saver, 1)
        os.write(writer_said, b".")
        os._exit(0)
    assert as_one_who_may_not_write(read_twice) == "1 2"
    os.waitpid(child, 0)
