"""Reading what this process has just written: from the memory of the connection that wrote it, and in nobody's way."""

import dataclasses
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from signoff.checkpoints.saver.saver import SqliteCheckpointer

COUNTS = Path("/proc/self/io")
CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def holding(**values: Any) -> Checkpoint:
    return {**empty_checkpoint(), "channel_values": values}


def bytes_read() -> int:
    """By this process so far."""
    return next(int(line.split()[1]) for line in COUNTS.read_text().splitlines() if line.startswith("rchar"))


@pytest.mark.skipif(not COUNTS.exists(), reason="only Linux counts what is read")
@pytest.mark.parametrize("key", [None, b"k" * 32], ids=["plain", "sealed"])
def test_what_was_just_put_is_not_read_from_the_file_again(tmp_path: Path, key: bytes | None) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", key=key) as saver:
        config, text = CONFIG, os.urandom(300_000).hex()
        for step in range(4):
            text += str(step)
            config = saver.put(config, holding(text=text), {}, {})
            before = bytes_read()
            found = saver.get_tuple(CONFIG)
            assert found is not None
            assert found.checkpoint["channel_values"] == {"text": text}
            if step:
                assert bytes_read() - before < 100_000


def test_a_text_that_grew_is_read_from_few_pieces(tmp_path: Path) -> None:
    dice = random.Random(5)
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        config, text = CONFIG, ""
        for _ in range(60):
            text += dice.randbytes(500).hex()
            config = saver.put(config, holding(text=text), {}, {})
        saver.prune(["t"])
        found = saver.get_tuple(CONFIG)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"text": text}
        assert saver.stats().pieces <= 10  # 24 if its chunks had stayed as small as they were at first


@dataclasses.dataclass
class Nosy:
    """Something that does more than it should when it is made."""

    name: str
    calls: ClassVar[list[Callable[[], object]]] = []

    def __post_init__(self) -> None:
        for call in self.calls:
            call()


def test_an_object_that_puts_while_it_is_made_again_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=[Nosy]) as saver:
        config = saver.put(CONFIG, holding(nosy=Nosy("a")), {}, {})
        other: Any = {"configurable": {"thread_id": "other", "checkpoint_ns": ""}}
        monkeypatch.setattr(Nosy, "calls", [lambda: saver.put(other, holding(n=1), {}, {})])
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.append(saver.get_tuple(config)), daemon=True)
        reading.start()
        reading.join(120)
        assert not reading.is_alive()
        assert found[0].checkpoint["channel_values"]["nosy"].name == "a"
        assert saver.get_tuple(other) is not None


def test_many_read_and_write_at_once_and_each_finds_what_it_wrote(tmp_path: Path) -> None:
    wrong: list[object] = []

    def talk(saver: SqliteCheckpointer, thread: str) -> None:
        here: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        config, text = here, thread * 900
        for step in range(12):
            text += str(step)
            config = saver.put(config, holding(text=text, n=step), {}, {})
            found = saver.get_tuple(here)
            if found is None or found.checkpoint["channel_values"] != {"text": text, "n": step}:
                wrong.append(found)

    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        threads = [threading.Thread(target=talk, args=(saver, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert saver.check() == []
