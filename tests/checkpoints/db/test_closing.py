"""A connection that is closed, and one that is collected amid that."""

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from signoff.checkpoints.db.sqlite import check_log, connect


def test_a_connection_that_is_collected_while_another_is_closed_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder:
        """Part of a circle: it goes when Python looks for such."""

        def __init__(self, path: Path) -> None:
            connection = connect(path, 1)
            connection.execute("CREATE TABLE a (b)")
            check_log(path)
            self.itself = self
            self.closing = weakref.finalize(self, connection.close)

    kept = connect(tmp_path / "kept.db", 1)
    kept.execute("CREATE TABLE a (b)")
    check_log(tmp_path / "kept.db")
    gc.disable()
    closing = Holder(tmp_path / "collected.db").closing
    look, looked = os.fstat, list[Any]()

    def collect(file: int) -> os.stat_result:
        looked.append(None if looked else gc.collect())
        return look(file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", collect)
        thread = threading.Thread(target=kept.close, daemon=True)
        thread.start()
        thread.join(20)
    gc.enable()
    assert looked
    assert not closing.alive
    assert not thread.is_alive()
    if Path("/proc/self/fd").is_dir():
        assert not [name for name in os.listdir("/proc/self/fd") if tmp_path.name in _target(name)]


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""
