"""Work in a fork of this process, and where in our code it is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signoff import Settings

Line = tuple[str, int]
"""Module and number."""

KILLED = -signal.SIGKILL


def in_fork(work: Callable[[], Any]) -> tuple[int, Any]:
    """Exit code of a process that does this, negative for a signal, and what it gave."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            given = json.dumps(work())
            with os.fdopen(writer, "w") as pipe:
                pipe.write(given)
        except BaseException:  # whatever it is, it must not unwind into the parent's code
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        given = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), json.loads(given) if given else None


def must(work: Callable[[], Any]) -> Any:
    """What a process gives that does this and ends well."""
    code, given = in_fork(work)
    if code:
        raise AssertionError(f"a process that was not to be killed ended with {code}")
    return given


def count_lines(files: Mapping[str, str], work: Callable[[], Any]) -> Counter[Line]:
    """How often each line of these files is reached in a process that does this; `files` are modules by path."""

    def count() -> list[tuple[Line, int]]:
        found: Counter[Line] = Counter()
        _trace(files, lambda line: found.update([line]))
        work()
        sys.settrace(None)
        return list(found.items())

    return Counter({(module, number): times for (module, number), times in must(count)})


def find_states(
    files: Mapping[str, str], look: Callable[[], object], sample: int, work: Callable[[], Any]
) -> list[tuple[Line, int]]:
    """The hits of these lines at which a process that does this has left something new, as `look` sees from outside.

    What a killed process leaves is what is outside of it: killed at two hits between which nothing was written, it
    leaves the same. That this is so is tried too: every so-many-th hit is among those given, new or not.
    """

    def find() -> list[tuple[Line, int]]:
        hits: Counter[Line] = Counter()
        found: list[tuple[Line, int]] = []
        seen: list[object] = [None]

        def reach(line: Line) -> None:
            hits[line] += 1
            state = look()
            if state != seen[0] or hits.total() % sample == 0:
                found.append((line, hits[line]))
            seen[0] = state

        _trace(files, reach)
        work()
        sys.settrace(None)
        return found

    return [((module, number), hit) for (module, number), hit in must(find)]


def kill_at(files: Mapping[str, str], line: Line, hit: int, work: Callable[[], Any]) -> int:
    """Exit code of a process that does this and is killed when it reaches the line for the so-many-th time."""
    left = [hit]

    def reach(reached: Line) -> None:
        left[0] -= reached == line
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        _trace({path: module for path, module in files.items() if module == line[0]}, reach)
        work()

    return in_fork(run)[0]


def kill_some(
    files: Mapping[str, str], folder: Path, number: int, seed: int, work: Callable[[Path], Any]
) -> Iterator[tuple[Path, Line, int]]:
    """Do this in a folder of its own for each of so many lines of these files, and be killed there.

    Gives that folder, the line and the exit code; a line that is reached often is one of its times.
    """
    (folder / "counted").mkdir()
    lines = sorted(count_lines(files, partial(work, folder / "counted")).items())
    chance = random.Random(seed)
    for place, (line, hits) in enumerate(chance.sample(lines, min(number, len(lines)))):
        home = folder / f"{place}"
        home.mkdir()
        yield home, line, kill_at(files, line, chance.randint(1, hits), partial(work, home))


def saved_items(run_id: str, settings: Settings) -> int:
    """How many items that are worked on side by side have their row on disk."""
    from signoff.checkpoints import configured_saver

    with configured_saver(settings) as saver:
        found = saver.get_tuple({"configurable": {"thread_id": run_id}})
    return sum(channel == "items" for _, channel, _ in found.pending_writes or ()) if found else 0


def _trace(files: Mapping[str, str], on_line: Callable[[Line], None]) -> None:
    """Call this before each line of these files is executed, in this thread and all that it starts."""

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return step if frame.f_code.co_filename in files else None

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            on_line((files[frame.f_code.co_filename], frame.f_lineno))
        return step

    threading.settrace(enter)
    sys.settrace(enter)
