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

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.folder = Path(home).expanduser().absolute() / "workspaces"

    def current(self) -> Path:
        """The folder of the run whose step asks; outside of any run, one of this object's own. Made on first use."""
        return self.of(current_thread() or self._own)

    def of(self, thread_id: str) -> Path:
        place = self._place(thread_id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return place

    def remove(self, thread_id: str) -> None:
        """Throw a run's folder away, whatever was done to the modes of what lies in it."""
        _remove(self._place(thread_id))

    def _place(self, thread_id: str) -> Path:
        # A thread's name may be anything, of any length.
        return self.folder / hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    @cached_property
    def _own(self) -> str:
        name = uuid.uuid4().hex
        weakref.finalize(self, _remove, self._place(name))  # at the latest when the interpreter ends
        return name


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
