"""Which files are looked at, and which are left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from signoff.errors import Unreadable
from signoff.tools.search.folder import list_files, read_bytes

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and special files")


def names(folder: Path) -> list[str]:
    return [file.name for file in list_files(folder)[0]]


def reasons(folder: Path) -> dict[str, str]:
    return {skip.path: skip.reason for skip in list_files(folder)[1]}


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def test_files_are_listed_in_the_order_of_their_names(folder: Path) -> None:
    write(folder, "b.txt", "a/z.txt", "a/b/c.txt", "a.txt", "README")
    assert names(folder) == ["README", "a.txt", "a/b/c.txt", "a/z.txt", "b.txt"]


def test_hidden_files_caches_and_environments_are_left_out(folder: Path) -> None:
    write(folder, "a.txt", ".hidden", ".git/config", ".signoff/x.db", "node_modules/x/y.js", "p/__pycache__/z.pyc")
    write(folder, "env/pyvenv.cfg", "env/lib/x.py", "pyvenv/x.py")
    assert names(folder) == ["a.txt", "pyvenv/x.py"]


def test_a_folder_that_is_itself_an_environment_is_read(folder: Path) -> None:
    write(folder, "pyvenv.cfg", "a.txt")
    assert names(folder) == ["a.txt", "pyvenv.cfg"]


def test_a_folder_named_like_a_document_is_a_folder(folder: Path) -> None:
    write(folder, "notes.md/a.txt")
    assert names(folder) == ["notes.md/a.txt"]


@posix
def test_links_that_leave_the_folder_or_lead_nowhere_are_not_followed(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.txt")
    write(folder, "a.txt")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "secret.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (folder / "nowhere").symlink_to("missing")
    (folder / "self").symlink_to("self")
    assert names(folder) == ["a.txt"]
    assert reasons(folder) == {
        "nowhere": "a link to nothing",
        "out": "a link that leads out of the folder",
        "secret.txt": "a link that leads out of the folder",
        "self": "a link to nothing",
    }


@posix
def test_a_link_inside_is_followed_only_to_what_is_not_listed_anyway(folder: Path) -> None:
    write(folder, "real/a.txt", ".kept/b.txt", "z.txt")
    (folder / "again").symlink_to("real")
    (folder / "kept").symlink_to(".kept")
    (folder / "kept2").symlink_to(".kept")
    (folder / ".kept" / "loop").symlink_to("..")
    (folder / ".kept" / "inner").symlink_to(".")
    (folder / "real" / "up").symlink_to("..")
    (folder / "a-link.txt").symlink_to("z.txt")
    assert names(folder) == ["kept/b.txt", "real/a.txt", "z.txt"]
    assert reasons(folder) == {}


@posix
def test_a_name_that_is_not_utf8_is_shown_with_its_bytes(folder: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert names(folder) == ["caf\\xe9.txt"]
    assert read_bytes(list_files(folder)[0][0].path, 10) == b"x"


@posix
def test_pipes_sockets_and_devices_are_not_opened_for_ever(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket must be short
        server.bind("socket.txt")
        os.chdir(here)
        for name in ("pipe.txt", "socket.txt"):
            with pytest.raises(Unreadable, match="not an ordinary file"):
                read_bytes(folder / name, 10)
    with pytest.raises(Unreadable, match="not an ordinary file"):
        read_bytes(Path("/dev/zero"), 10)
    with pytest.raises(Unreadable, match="not an ordinary file"):
        read_bytes(folder, 10)


def test_a_file_larger_than_the_limit_is_not_read(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x" * 11)
    assert read_bytes(folder / "a.txt", 11) == b"x" * 11
    with pytest.raises(Unreadable, match="is more than the limit of"):
        read_bytes(folder / "a.txt", 10)


@posix
def test_what_may_not_be_read_says_so(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    write(folder, "a.txt", "sub/b.txt")
    (folder / "a.txt").chmod(0)
    (folder / "sub").chmod(0)
    assert reasons(folder) == {"sub": "the folder cannot be opened: permission denied"}
    with pytest.raises(Unreadable, match="permission denied"):
        read_bytes(folder / "a.txt", 10)
    (folder / "sub").chmod(0o700)


def test_a_file_that_vanishes_says_so(folder: Path) -> None:
    with pytest.raises(Unreadable, match="no such file"):
        read_bytes(folder / "gone.txt", 10)
