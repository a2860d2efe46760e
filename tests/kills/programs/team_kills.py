"""Kills a process amid a run of a ready-made team; then another process finishes the run, and signs it off."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, in_fork, kill_some, must

import signoff

Go = Callable[[str, Path], dict[str, Any]]
"""Begins the run in a folder, or goes on with it, to its end, on documents: these come first."""


def kill_team(names: Sequence[str], go: Go) -> None:
    """Print a JSON line for a run that nobody killed, then one for each kill at a line of these files of ours.

    The program is given an empty folder, a folder of documents, how many lines, and a seed. Each process is a fork.
    """
    folder, documents, number, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rooms = Path(os.path.realpath(signoff.__file__)).parents[1]
    files = {str(path): name for name in names for path in _as_imported(rooms, name)}
    (folder / "whole").mkdir()
    work = partial(go, documents)
    _tell(folder / "whole", in_fork(partial(work, folder / "whole"))[0], work)
    for home, _, code in kill_some(files, folder, number, seed, work):
        _tell(home, code, work)


def _tell(folder: Path, code: int, work: Callable[[Path], Any]) -> None:
    sys.stdout.write(f"{json.dumps({'killed': code == KILLED, **must(partial(work, folder))})}\n")


def _as_imported(rooms: Path, name: str) -> list[Path]:
    """A module's file by each path that its code may have."""
    found = sys.modules[f"signoff.{name.replace('/', '.')}"].__file__
    assert found is not None
    return [Path(found), rooms / f"{name}.py"]
