from __future__ import annotations

import os
import socket
import string
import threading
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from signoff.errors import FileRefused
from signoff.tools.storage.confined_folder import ConfinedFolder, parts

NAMES = st.text(alphabet=string.ascii_letters + string.digits + " ._-\\~*éß漢", min_size=1, max_size=12)
PIECES = st.one_of(st.sampled_from(["..", ".", "", "/", "\0", "link", "a"]), NAMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a way out of it: a link to the secret beside it."""
    made = tmp_path / "inside"
    made.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (made / "link").symlink_to("../secret")
    (made / "key").symlink_to("../secret/key")
    return made


def test_what_was_written_is_read_again_from_where_it_was_written(folder: Path) -> None:
    ConfinedFolder(folder).write("a/b/c.txt", b"text")
    assert ConfinedFolder(folder).read("./a//b/c.txt") == b"text"
    assert (folder / "a" / "b" / "c.txt").read_bytes() == b"text"


@pytest.mark.parametrize(
    "path",
    ["", ".", "/", "..", "../secret/key", "a/../../key", "/etc/passwd", "a\0b", "a/", "a/..", "x" * 300, "\ud800"],
)  # fmt: skip
def test_a_path_that_is_no_file_of_the_folder_is_refused(folder: Path, path: str) -> None:
    for use in (
        ConfinedFolder(folder).read,
        ConfinedFolder(folder).remove,
        lambda path: ConfinedFolder(folder).write(path, b""),
    ):
        with pytest.raises(FileRefused):
            use(path)


@pytest.mark.parametrize("path", ["key", "link/key", "link/new", "link"])
def test_no_link_is_followed(folder: Path, path: str) -> None:
    for use in (ConfinedFolder(folder).read, lambda path: ConfinedFolder(folder).write(path, b"changed")):
        with pytest.raises(FileRefused):
            use(path)
    assert (folder.parent / "secret" / "key").read_text() == "secret"
    assert os.listdir(folder.parent / "secret") == ["key"]


def test_a_removed_link_leaves_what_it_led_to(folder: Path) -> None:
    ConfinedFolder(folder).remove("key")
    assert not (folder / "key").is_symlink()
    assert (folder.parent / "secret" / "key").read_text() == "secret"


def test_what_is_no_regular_file_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path in ("pipe", "socket", "."):
            with pytest.raises(FileRefused):
                ConfinedFolder(folder).read(path)
            with pytest.raises(FileRefused):
                ConfinedFolder(folder).write(path, b"x")


def test_a_file_that_is_larger_than_asked_for_is_refused(folder: Path) -> None:
    ConfinedFolder(folder).write("file", b"12345")
    assert ConfinedFolder(folder).read("file", largest=5) == b"12345"
    with pytest.raises(FileRefused, match="5 bytes, and 4 are allowed"):
        ConfinedFolder(folder).read("file", largest=4)


def test_a_hard_link_is_replaced_and_not_written_through(folder: Path) -> None:
    os.link(folder.parent / "secret" / "key", folder / "hard")
    ConfinedFolder(folder).write("hard", b"changed")
    assert (folder.parent / "secret" / "key").read_text() == "secret"
    assert (folder / "hard").read_text() == "changed"


def test_the_mode_of_a_file_outlives_its_content_but_not_its_special_bits(folder: Path) -> None:
    ConfinedFolder(folder).write("run", b"1", executable=True)
    assert (folder / "run").stat().st_mode & 0o7777 == 0o755
    (folder / "run").chmod(0o4750)
    ConfinedFolder(folder).write("run", b"2")
    assert (folder / "run").stat().st_mode & 0o7777 == 0o750


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may write what is another user's")
def test_what_root_writes_stays_its_owners(folder: Path) -> None:
    ConfinedFolder(folder).write("theirs", b"1")
    os.chown(folder / "theirs", 12_345, 12_346)
    ConfinedFolder(folder).write("theirs", b"2")
    found = (folder / "theirs").stat()
    assert (found.st_uid, found.st_gid, (folder / "theirs").read_bytes()) == (12_345, 12_346, b"2")


def test_the_list_names_what_is_there_and_follows_nothing(folder: Path) -> None:
    ConfinedFolder(folder).write("a/b", b"12")
    os.mkfifo(folder / "pipe")
    found = {entry.path: (entry.kind, entry.size) for entry in ConfinedFolder(folder).list() if entry.kind != "link"}
    assert found == {"a": ("folder", found["a"][1]), "a/b": ("file", 2), "pipe": ("other", 0)}
    assert [entry.path for entry in ConfinedFolder(folder).list() if entry.kind == "link"] == ["key", "link"]


def test_a_folder_with_too_much_in_it_is_refused(folder: Path) -> None:
    for number in range(5):
        ConfinedFolder(folder).write(f"file {number}", b"")
    assert len(ConfinedFolder(folder).list(most=7)) == 7
    with pytest.raises(FileRefused, match="more than the 6"):
        ConfinedFolder(folder).list(most=6)


def test_a_folder_that_is_too_deep_is_refused(folder: Path) -> None:
    (folder / "/".join("d" * 66)).mkdir(parents=True)
    with pytest.raises(FileRefused, match="deeper than 64"):
        ConfinedFolder(folder).list()


def test_a_stamp_changes_with_the_content_though_size_and_time_stay(folder: Path) -> None:
    ConfinedFolder(folder).write("file", b"one", modified_ns=10**18)
    before = ConfinedFolder(folder).list()
    (folder / "file").write_bytes(b"two")
    os.utime(folder / "file", ns=(10**18, 10**18))
    assert ConfinedFolder(folder).list() != before


def test_nothing_is_left_beside_a_file_that_cannot_be_written(folder: Path) -> None:
    (folder / "taken").mkdir()
    with pytest.raises(FileRefused):
        ConfinedFolder(folder).write("taken", b"x")
    assert sorted(os.listdir(folder)) == ["key", "link", "taken"]


@given(st.lists(PIECES, min_size=1, max_size=8).map("/".join))
def test_no_path_at_all_leads_out(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    inside = outside / "inside"
    inside.mkdir()
    (inside / "link").symlink_to("..")
    try:
        ConfinedFolder(inside).write(path, b"written")
    except FileRefused:
        pass
    else:
        assert ConfinedFolder(inside).read(path) == b"written"
        assert os.path.realpath(inside / path).startswith(f"{os.path.realpath(inside)}/")
    assert sorted(os.listdir(outside)) == ["inside", "secret"]
    assert (outside / "secret").read_text() == "secret"


@given(st.lists(PIECES, min_size=1, max_size=8).map("/".join))
def test_a_path_that_is_taken_has_names_only(path: str) -> None:
    try:
        names = parts(path)
    except FileRefused:
        return
    assert names
    assert not {"", ".", ".."} & set(names)
    assert "/".join(names) == os.path.normpath(path)


def test_a_folder_that_is_swapped_for_a_link_meanwhile_lets_nothing_out(folder: Path) -> None:
    """Another thread changes a folder and a link to the secret for each other all the time."""
    os.mkdir(folder / "door")
    (folder / "door" / "key").write_text("harmless")
    (folder / "other").symlink_to("../secret")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            os.rename(folder / "door", folder / "aside")
            os.rename(folder / "other", folder / "door")
            os.rename(folder / "door", folder / "other")
            os.rename(folder / "aside", folder / "door")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen, refused = set(), 0
    try:
        while refused < 50 or b"harmless" not in seen:
            try:
                seen.add(ConfinedFolder(folder).read("door/key"))
            except FileRefused:
                refused += 1
    finally:
        done.set()
        swapping.join()
    assert seen == {b"harmless"}
    assert os.listdir(folder.parent / "secret") == ["key"]
