"""What a put and a get cost for states of many shapes: ours ÷ LangGraph's SqliteSaver, one after the other in one run.

CPU of all threads, bytes of the closed file, bytes written. `python3 make.py bench -- checkpoints --states` shows this
alone.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from rich import box
from rich.table import Table

from savers.contestants import OFFICIAL, OURS, opened_alone

State = dict[str, Any]
ROWS = 2000


@dataclass
class Source:
    """Makes words that are like any other's."""

    dice: random.Random = field(default_factory=lambda: random.Random(7))
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = "abcdefghijklmnop"
        self.words = ["".join(self.dice.choices(letters, k=self.dice.randrange(2, 10))) for _ in range(3000)]

    def text(self, size: int) -> str:
        return " ".join(self.dice.choices(self.words, k=size // 6))

    def message(self, number: int) -> AIMessage | HumanMessage:
        return (AIMessage if number % 2 else HumanMessage)(content=self.text(940), id=f"m{number}-{self.dice.random()}")

    def row(self, number: int) -> State:
        tags = [self.text(10), number]
        return {
            "id": number,
            "name": self.text(30),
            "score": self.dice.random(),
            "done": bool(number % 2),
            "tags": tags,
        }


def messages(of: Source, size: int, *, window: bool = False) -> Iterator[State]:
    held = [of.message(number) for number in range(size)]
    while True:
        yield {"messages": held}
        held = [*held[1 if window else 0 :], of.message(len(held))]


def talks(of: Source) -> Iterator[State]:
    held = {f"talk {talk}": [of.message(number) for number in range(40)] for talk in range(5)}
    while True:
        yield {"talks": held}
        held[f"talk {of.dice.randrange(5)}"].append(of.message(1))


def log(of: Source) -> Iterator[State]:
    held = [of.row(number) for number in range(100)]
    while True:
        yield {"log": held}
        held = [*held, of.row(len(held))]


def table(of: Source, key: Callable[[int], Any], size: int) -> Iterator[State]:
    held = {key(number): of.text(30) for number in range(size)}
    while True:
        yield {"table": held}
        held[key(of.dice.randrange(size))] = of.text(30)


def floats(of: Source) -> Iterator[State]:
    while True:
        yield {"vector": [of.dice.random() for _ in range(20_000)]}


def channels(of: Source) -> Iterator[State]:
    held = {f"channel {number}": of.text(30) for number in range(ROWS)}
    while True:
        yield dict(held)
        held[f"channel {of.dice.randrange(ROWS)}"] = of.text(30)


def rows(of: Source, *, kept: bool) -> Iterator[State]:
    held = [of.row(number) for number in range(ROWS)]
    while True:
        yield {"rows": held}
        held = of.dice.sample(held, ROWS) if kept else [of.row(number) for number in range(ROWS)]


def prepended(of: Source) -> Iterator[State]:
    held = [of.row(number) for number in range(ROWS // 2)]
    while True:
        yield {"rows": held}
        held = [of.row(len(held)), *held]


def numbers(of: Source) -> Iterator[State]:
    held = {of.dice.randrange(10**9) for _ in range(20_000)}
    while True:
        yield {"set": held}
        held.add(of.dice.randrange(10**9))


def deep(of: Source) -> Iterator[State]:
    levels: list[State] = [{"text": of.text(300), "in": None}]
    for _ in range(60):
        levels.append({"text": of.text(300), "in": levels[-1]})
    while True:
        yield {"tree": levels[-1]}
        of.dice.choice(levels)["text"] = of.text(300)


def matrix(of: Source) -> Iterator[State]:
    held = [[of.dice.random() for _ in range(100)] for _ in range(100)]
    while True:
        yield {"matrix": held}
        of.dice.choice(held)[of.dice.randrange(100)] = of.dice.random()


def appended(of: Source) -> Iterator[State]:
    held = of.text(6000)
    while True:
        yield {"text": held}
        held += of.text(1000)


def tiny(of: Source) -> Iterator[State]:
    while True:
        yield {"n": of.dice.randrange(100), "status": "ok"}


def array(of: Source) -> Iterator[State]:
    import numpy as np

    held = np.random.default_rng(1).random(100_000)
    while True:
        yield {"array": held}
        held[of.dice.randrange(100_000)] = of.dice.random()


def blob(of: Source) -> Iterator[State]:
    held = of.dice.randbytes(5_000_000)
    while True:
        yield {"blob": held, "n": of.dice.random()}


STATES: dict[str, tuple[Callable[[Source], Iterator[State]], int]] = {
    "180 messages of 1 kB": (lambda of: messages(of, 180), 30),
    "600 messages of 1 kB": (lambda of: messages(of, 600), 30),
    "3,000 messages of 1 kB": (lambda of: messages(of, 3000), 12),
    "500 messages, the oldest goes": (lambda of: messages(of, 500, window=True), 20),
    "messages in a dict of lists": (talks, 20),
    "growing list of dicts": (log, 60),
    "dict of 10,000 keys, one changes": (lambda of: table(of, str, 10_000), 20),
    "5,000 int keys, one changes": (lambda of: table(of, int, 5000), 20),
    "20,000 floats, new each step": (floats, 30),
    "2,000 channels, one changes": (channels, 20),
    "2,000 rows, all new": (lambda of: rows(of, kept=False), 20),
    "2,000 rows, shuffled": (lambda of: rows(of, kept=True), 20),
    "prepend to 1,000 rows": (prepended, 20),
    "set of 20,000": (numbers, 20),
    "60 deep": (deep, 40),
    "matrix of 100 × 100": (matrix, 30),
    "appended text": (appended, 60),
    "tiny state": (tiny, 200),
    "numpy, 800 kB": (array, 20),
    "5 MB of bytes": (blob, 12),
}
"""What a state is like, and how many steps are measured."""


@dataclass
class Fared:
    """How one saver fared: milliseconds of CPU of each call, and bytes that were written."""

    put: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    reopened: list[float] = field(default_factory=list)
    written: int = 0
    size: int = 0


COLUMNS = ("file", "written", "put", "get", "first put after reopening")


def ratios(ours: Fared, official: Fared) -> list[float]:
    calls = [(one.put, one.get, one.reopened) for one in (ours, official)]
    times = [statistics.median(mine) / statistics.median(theirs) for mine, theirs in zip(*calls, strict=True)]
    return [ours.size / official.size, ours.written / max(1, official.written), *times]


def bytes_written() -> int:
    """By this process so far, as Linux counts them; 0 elsewhere."""
    counts = Path("/proc/self/io")
    lines = counts.read_text().splitlines() if counts.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar")), 0)


def checkpoint_of(state: State, step: int) -> Checkpoint:
    return {
        **empty_checkpoint(),
        "id": str(uuid6(clock_seq=step)),
        "channel_values": dict(state),
        "channel_versions": dict.fromkeys(state, step),
        "versions_seen": {"__input__": {}, "node": {"branch:to:node": step}},
    }


def measure(folder: Path, name: str) -> dict[str, Fared]:
    """Let both savers take the same steps, in random order."""
    make, steps = STATES[name]
    source = Source()
    states, fared = make(source), {OURS: Fared(), OFFICIAL: Fared()}
    here: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    latest = dict.fromkeys(fared, here)

    def put(saver: Any, of: str, checkpoint: Checkpoint, step: int) -> float:
        began = time.process_time()
        versions = checkpoint["channel_versions"]
        latest[of] = saver.put(latest[of], checkpoint, {"source": "loop", "step": step, "parents": {}}, versions)
        return 1000 * (time.process_time() - began)

    with closing(opened_alone(folder / "ours.db", OURS)) as ours, closing(opened_alone(folder / "o.db", OFFICIAL)) as o:
        for step in range(steps):
            state = next(states)
            for of, saver in source.dice.sample([(OURS, ours), (OFFICIAL, o)], 2):
                checkpoint, before = checkpoint_of(state, step), bytes_written()
                taken = put(saver, of, checkpoint, step)
                if step:
                    fared[of].put.append(taken)
                    fared[of].written += bytes_written() - before
                    began = time.process_time()
                    saver.get_tuple(here)
                    fared[of].get.append(1000 * (time.process_time() - began))
    for step in range(steps, steps + 3):
        state = next(states)
        for of, path in ((OURS, folder / "ours.db"), (OFFICIAL, folder / "o.db")):
            with closing(opened_alone(path, of)) as saver:
                saver.get_tuple({"configurable": {"thread_id": "none", "checkpoint_ns": ""}})
                fared[of].reopened.append(put(saver, of, checkpoint_of(state, step), step))
    for of, path in ((OURS, folder / "ours.db"), (OFFICIAL, folder / "o.db")):
        fared[of].size = sum(file.stat().st_size for file in folder.glob(f"{path.name}*"))
    return fared


def table_of_states(folder: Path, names: list[str]) -> Table:
    shown = Table("ours ÷ SqliteSaver", *COLUMNS, box=box.MARKDOWN)
    for number, name in enumerate(names):
        home = folder / f"state-{number}"
        home.mkdir()
        fared = measure(home, name)
        shown.add_row(name, *(f"{ratio:.2f}" for ratio in ratios(fared[OURS], fared[OFFICIAL])))
        for file in home.iterdir():
            file.unlink()
    return shown
