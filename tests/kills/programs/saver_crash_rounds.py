"""Runs in a process of its own: forks a writer, which dies in the middle, and checks what is in the file; many times.

Everything is imported first, so that a round takes a tenth of a second. Prints one JSON line per round. A writer dies

- `killed`: by SIGKILL, at a random moment;
- `torn`: in the middle of writing to the file, at a random byte (SIGXFSZ: the kernel lets it grow no further);
- `unsynced`: at an fsync, that is between write and fsync (SIGSYS: the kernel allows no more of these).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import platform
import random
import resource
import select
import signal
import sqlite3
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from signoff.checkpoints.saver.saver import SqliteCheckpointer

TALKS = 4
"""Threads of a file: two are written by a thread of the operating system each, two by tasks of one event loop."""

ROUNDS_PER_FILE = 10
MOST_MESSAGES = 40
LONGEST = 2.0
"""Seconds after which a writer that does not die is killed."""

SYNCED_LAST = ("s", 0, 0)
"""What a writer tells when there will be no sync any more."""

State = dict[str, Any]


def text(chance: random.Random) -> str:
    return chance.randbytes(chance.choice((20, 200, 900))).hex()


def change(state: State, talk: int, step: int) -> State:
    """The state after this step, always the same. Old values are edited in place, as people's nodes do."""
    chance = random.Random(f"{talk}-{step}")
    messages = [*state.get("messages", []), HumanMessage(text(chance), id=f"{talk}-{step}")]
    notes = state.get("notes", {})
    if len(messages) > MOST_MESSAGES:
        messages = messages[chance.randrange(5, MOST_MESSAGES) :]
    if chance.random() < 0.3:
        chance.choice(messages).content = text(chance)
    if chance.random() < 0.3:
        notes.setdefault(f"note-{chance.randrange(30)}", {"lines": []})["lines"].append(text(chance))
    blob = chance.randbytes(20_000) if chance.random() < 0.1 else state.get("blob", b"")
    return {"messages": messages, "notes": notes, "blob": blob, "step": step}


def writes_of(talk: int, step: int) -> list[tuple[str, Any]]:
    """What the tasks of this step return."""
    chance = random.Random(f"writes {talk}-{step}")
    return [("messages", [HumanMessage(text(chance), id=f"{talk}-{step}")]), ("blob", b"x" * step), ("step", step)]


def place(talk: int, step: int | None = None) -> RunnableConfig:
    """A thread, or one checkpoint of it."""
    checkpoint = {} if step is None else {"checkpoint_id": name(step)}
    return {"configurable": {"thread_id": f"talk-{talk}", "checkpoint_ns": "", **checkpoint}}


def name(step: int) -> str:
    return f"step-{step:06}"


def put_call(talk: int, step: int, state: State) -> tuple[Any, ...]:
    """Arguments of `put`; what was edited in place has no new version, for LangGraph knows nothing of it."""
    checkpoint = {
        "v": 4,
        "id": name(step),
        "ts": f"2026-01-01T00:00:{step:06}",
        "channel_values": state,
        "channel_versions": dict.fromkeys(state, step + 1),
        "versions_seen": {"agent": {"messages": step}},
        "updated_channels": ["messages", "step"],
    }
    metadata = {"source": "loop", "step": step, "parents": {}, "run_id": f"run-{talk}"}
    return place(talk, step - 1 if step else None), checkpoint, metadata, {"messages": step + 1, "step": step + 1}


class Writer:
    """The process that dies."""

    def __init__(self, path: Path, pipe: int, manner: str, chance: random.Random) -> None:
        self.path, self.pipe, self.manner = path, pipe, manner
        self.room = chance.randrange(40_000)
        self.until_death = chance.randrange(1, 60)
        self.saver = SqliteCheckpointer(path)

    def run(self) -> None:
        workers = [threading.Thread(target=self.talk, args=(talk,)) for talk in range(2)]
        workers.append(threading.Thread(target=lambda: asyncio.run(self.tasks())))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def talk(self, talk: int) -> None:
        state, step = self.last(talk, self.saver.get_tuple(place(talk)))
        while True:
            if step:
                self.saver.put_writes(place(talk, step - 1), writes_of(talk, step), f"task-{step}")
                self.acknowledge("w", talk, step)
            state = change(state, talk, step)
            self.saver.put(*put_call(talk, step, state))
            self.acknowledge("c", talk, step)
            step += 1

    async def tasks(self) -> None:
        await asyncio.gather(*(self.atalk(talk) for talk in range(2, TALKS)))

    async def atalk(self, talk: int) -> None:
        state, step = self.last(talk, await self.saver.aget_tuple(place(talk)))
        while True:
            if step:
                await self.saver.aput_writes(place(talk, step - 1), writes_of(talk, step), f"task-{step}")
                self.acknowledge("w", talk, step)
            state = change(state, talk, step)
            await self.saver.aput(*put_call(talk, step, state))
            self.acknowledge("c", talk, step)
            step += 1

    def last(self, talk: int, found: CheckpointTuple | None) -> tuple[State, int]:
        """Where the last writer came to, and the number of the next step."""
        if found is None:
            return {}, 0
        state: State = found.checkpoint["channel_values"]
        return state, state["step"] + 1

    def acknowledge(self, kind: str, talk: int, step: int) -> None:
        """Tell it outside, now that the saver has returned; and arrange for the death when it is time."""
        os.write(self.pipe, f"{kind} {talk} {step}\n".encode())
        self.until_death -= 1
        if self.until_death == 0 and self.manner == "torn":
            wal = Path(f"{self.path}-wal")
            limit = (wal.stat().st_size if wal.exists() else 0) + self.room
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        elif self.until_death == 0 and self.manner == "unsynced":
            allow_no_sync()
            os.write(self.pipe, "{} {} {}\n".format(*SYNCED_LAST).encode())


def allow_no_sync() -> None:
    """Have the kernel end this process at its next fsync or fdatasync, in whichever thread."""
    seccomp, *syncs = SYSTEM_CALLS[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06  # instructions of a Berkeley packet filter
    program = struct.pack("HBBI", load, 0, 0, 0)
    for number in syncs:
        program += struct.pack("HBBI", equal, 0, 1, number) + struct.pack("HBBI", answer, 0, 0, KILL_PROCESS)
    program += struct.pack("HBBI", answer, 0, 0, ALLOW)
    buffer = ctypes.create_string_buffer(program)
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    assert libc.syscall(seccomp, FILTER_MODE, FOR_ALL_THREADS, filters) == 0, os.strerror(ctypes.get_errno())


SYSTEM_CALLS = {"x86_64": (317, 74, 75), "aarch64": (277, 82, 83)}
"""Numbers of seccomp, fsync and fdatasync."""

NO_NEW_PRIVILEGES, FILTER_MODE, FOR_ALL_THREADS = 38, 1, 1
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """Do this in a process of its own, with the pipe it is given; returns its pid and the pipe's other end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    try:
        work(writing)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(pid: int) -> int:
    """Its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def said(pipe: int) -> str:
    """All that was written into the pipe."""
    with os.fdopen(pipe, "rb") as file:
        return file.read().decode()


def write_until_death(path: Path, manner: str, chance: random.Random) -> tuple[str, list[tuple[str, int, int]]]:
    """Let a writer run and die; returns how it ended, and what it was told to be safe."""
    seed = chance.random()

    def write(pipe: int) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        Writer(path, pipe, manner, random.Random(seed)).run()

    pid, pipe = fork(write)
    lines = ""
    moment = chance.uniform(0, 0.04) if manner == "killed" else LONGEST
    deadline = time.monotonic() + (moment if chance.random() < 0.2 else LONGEST)  # at times while it opens the file
    while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
        part = os.read(pipe, 65536).decode()
        if not part:
            break
        if not lines:
            deadline = min(deadline, time.monotonic() + moment)
        lines += part
    os.kill(pid, signal.SIGKILL)
    ended = ENDS.get(wait(pid), "failed")
    lines += said(pipe)
    acknowledged = [(kind, int(talk), int(step)) for kind, talk, step in map(str.split, lines.splitlines())]
    if SYNCED_LAST in acknowledged:
        later = len(acknowledged) - acknowledged.index(SYNCED_LAST) - 1
        assert later < TALKS, (
            f"{later} calls returned without a sync"
        )  # the others' calls may have been on the way back
        acknowledged.remove(SYNCED_LAST)
    return ended, acknowledged


ENDS = {-signal.SIGKILL: "killed", -signal.SIGXFSZ: "torn", -signal.SIGSYS: "unsynced"}


class Expected:
    """What must be in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: list[list[State]] = [[] for _ in range(TALKS)]
        self.checkpoints = [-1] * TALKS  # the last one that is surely there
        self.writes = [-1] * TALKS

    def add(self, acknowledged: list[tuple[str, int, int]]) -> None:
        for kind, talk, step in acknowledged:
            steps = self.checkpoints if kind == "c" else self.writes
            steps[talk] = max(steps[talk], step)
        for talk, states in enumerate(self.states):
            while len(states) <= self.checkpoints[talk] + 2:
                states.append(change(deepcopy(states[-1]) if states else {}, talk, len(states)))

    def check(self, pipe: int, since: list[int]) -> None:
        """Compare the file with it, from these steps on; tells which step of each thread was the last."""
        connection = sqlite3.connect(self.path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        with SqliteCheckpointer(self.path) as saver:
            problems = list(saver.check())
            assert problems == [], problems
            last = [self.check_talk(saver, talk, since[talk]) for talk in range(TALKS)]
        os.write(pipe, json.dumps(last).encode())

    def check_talk(self, saver: SqliteCheckpointer, talk: int, since: int) -> int:
        last = self.checkpoints[talk]
        found = list(saver.list(place(talk), limit=last - since + 2 if since > 0 else None))
        if last < 0 and not found:
            return last
        newest: int = found[0].checkpoint["channel_values"]["step"]
        assert newest in (last, last + 1), f"step {last} of {talk} was acknowledged, the last there is {newest}"
        steps = [item.checkpoint["channel_values"]["step"] for item in found]
        assert steps == list(range(newest, newest - len(found), -1)), f"steps of {talk}: {steps}"
        assert steps[-1] <= max(since, 0), f"no step {since} of {talk} there"
        for step, item in zip(steps, found, strict=True):
            self.check_one(item, talk, step)
        return newest

    def check_one(self, found: CheckpointTuple, talk: int, step: int) -> None:
        _, checkpoint, metadata, _ = put_call(talk, step, self.states[talk][step])
        kept = {key: found.checkpoint.get(key) for key in checkpoint}
        assert kept == checkpoint, f"step {step} of {talk} is not what was put"
        assert metadata.items() <= dict(found.metadata).items()
        assert (found.parent_config or {}).get("configurable") == (
            place(talk, step - 1)["configurable"] if step else None
        )
        after = [(f"task-{step + 1}", *write) for write in writes_of(talk, step + 1)]
        if found.pending_writes != after:
            assert not found.pending_writes, f"half of the writes of {step + 1} of {talk} are there"
            assert self.writes[talk] <= step, f"the writes of {step + 1} of {talk} were acknowledged"


def rounds(seed: int, wanted: dict[str, int]) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    manners = [manner for manner, times in wanted.items() for _ in range(times)]
    chance.shuffle(manners)
    for number, manner in enumerate(manners):
        if number % ROUNDS_PER_FILE == 0:
            expected = Expected(Path(f"saver-{number}.db"))
        since = list(expected.checkpoints)
        ended, acknowledged = write_until_death(expected.path, manner, chance)
        expected.add(acknowledged)
        is_last = number % ROUNDS_PER_FILE == ROUNDS_PER_FILE - 1 or number == len(manners) - 1
        pid, pipe = fork(lambda pipe: expected.check(pipe, [-1] * TALKS if is_last else since))  # noqa: B023
        answer = said(pipe)
        assert wait(pid) == 0, f"after round {number}, {ended}"
        last = json.loads(answer)
        extra = sum(last) - sum(expected.checkpoints)
        expected.add([("c", talk, step) for talk, step in enumerate(last)])
        yield {"ended": ended, "acknowledged": len(acknowledged), "unacknowledged": extra, "steps": sum(last)}


for line in rounds(int(sys.argv[1]), json.loads(sys.argv[2])):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
