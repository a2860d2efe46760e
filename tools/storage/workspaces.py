"""Workspaces: a throw-away folder for each run, shared by the tools that work on files."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
import weakref
from functools import cached_property
from pathlib import Path

from langchain_core.runnables.config import ensure_config


class Workspaces:
    """Folders in `<home>/workspaces`, one for each run (LangGraph thread); a resumed run finds its own again."""

    def __init__(self, home: Path | str = ".signoff", *, part: str = "") -> None:
        """`part`: a folder of its own within the run, such as for one of several items that are worked on at once."""
        self.folder = Path(home).expanduser().absolute() / "workspaces"
        self.part = f"-{_named(part)[:12]}" if part else ""

    def current(self) -> Path:
        """The folder of the run whose step asks; outside of any run, one of this object's own. Made on first use."""
        return self.of(current_thread() or self._own)

    def of(self, thread_id: str) -> Path:
        place = self._place(thread_id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return place

    def drop(self) -> None:
        """Throw away the folder of the run whose step asks, in this part; what is missing is made anew on use."""
        _remove(self._place(current_thread() or self._own))

    def remove(self, thread_id: str) -> None:
        """Throw a run's folder away, and those of its parts, whatever was done to the modes of what lies in them."""
        place = self._place(thread_id)
        for one in (place, *place.parent.glob(f"{_named(thread_id)}-*")):
            _remove(one)

    def _place(self, thread_id: str) -> Path:
        # A thread's name may be anything, of any length.
        return self.folder / f"{_named(thread_id)}{self.part}"

    @cached_property
    def _own(self) -> str:
        name = uuid.uuid4().hex
        weakref.finalize(self, _remove, self._place(name))  # at the latest when the interpreter ends
        return name


def _named(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _remove(place: Path) -> None:
    if not place.exists():
        return
    place.chmod(0o700)
    if hasattr(os, "fwalk"):  # where there is none, modes keep nobody out
        for _, below, _, folder in os.fwalk(place):  # by open folders: a whole path may be longer than is taken
            for name in below:
                if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    os.chmod(name, 0o700, dir_fd=folder)
    shutil.rmtree(place)


def current_thread() -> str:
    """The LangGraph thread whose step this is; empty outside of a graph."""
    return str(ensure_config().get("configurable", {}).get("thread_id") or "")
