"""Blobs: what was kept is what is read, or nothing is."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from signoff.errors import BlobMissing
from signoff.tools.storage.blobs import Blobs


def test_what_is_kept_is_read_again_by_its_digest(home: Path) -> None:
    sha256 = Blobs(home).keep(b"a chart")
    assert sha256 == hashlib.sha256(b"a chart").hexdigest()
    assert Blobs(home).read(sha256) == b"a chart"


def test_the_same_bytes_are_kept_once(home: Path) -> None:
    blobs = Blobs(home)
    first = blobs.path(blobs.keep(b"x")).stat()
    assert blobs.path(blobs.keep(b"x")).stat().st_mtime_ns == first.st_mtime_ns
    assert len([path for path in blobs.folder.rglob("*") if path.is_file()]) == 1


def test_what_was_never_kept_is_missing(home: Path) -> None:
    with pytest.raises(BlobMissing, match=r"is not in .*blobs"):
        Blobs(home).read("0" * 64)


def test_what_was_changed_since_is_missing_and_can_be_kept_again(home: Path) -> None:
    blobs = Blobs(home)
    sha256 = blobs.keep(b"a chart")
    blobs.path(sha256).write_bytes(b"another")
    with pytest.raises(BlobMissing, match="was changed"):
        blobs.read(sha256)
    assert blobs.keep(b"a chart") == sha256
    assert blobs.read(sha256) == b"a chart"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, f"{'0' * 64}\n"])
def test_what_is_no_digest_names_no_file(home: Path, name: str) -> None:
    with pytest.raises(BlobMissing, match="no name that a digest has"):
        Blobs(home).read(name)


def test_many_threads_keep_the_same_bytes_at_once(home: Path) -> None:
    blobs, raw = Blobs(home), b"x" * 100_000
    threads = [threading.Thread(target=blobs.keep, args=(raw,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [kept] = [path for path in blobs.folder.rglob("*") if path.is_file()]
    assert kept.read_bytes() == raw
