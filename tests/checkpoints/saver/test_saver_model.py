"""The saver and LangGraph's in-memory saver, driven by the same random steps, always read the same."""

import asyncio
import copy
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hunts import Part
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from signoff.checkpoints.saver.saver import SqliteCheckpointer

numpy: Any = find_spec("numpy") and import_module("numpy")

Edits = list[tuple[str, str, int]]
"""Changes of channels: which, how, and a number that decides the rest."""


Rank = IntEnum("Rank", {"LOW": 1})


@dataclass
class Ticket:
    title: str
    tags: list[Any]


class Claim(BaseModel):
    text: str
    spans: dict[str, Any]
    ticket: Ticket


TYPES = (Rank, Ticket, Claim)
THREADS = st.sampled_from(["thread-a", "thread-a", "thread-a", "thread-b", "thread-c"])
NAMESPACES = st.sampled_from(["", "", "", "child|grand:1"])
RUNS = st.sampled_from(["run-0", "run-1", "run-2"])
CHANNELS = st.sampled_from(["messages", "log", "table", "any", "sometimes"])
WRITTEN = st.sampled_from(
    ["messages", "log", "sometimes", "__error__", "__scheduled__", "__interrupt__", "__resume__", "__no_writes__"]
)
SEEDS = st.integers(0, 10_000)
EDITS = st.lists(
    st.tuples(CHANNELS, st.sampled_from(["new", "copy", "grow", "grow", "drop", "front", "change"]), SEEDS), max_size=4
)
WRITES = st.lists(st.tuples(WRITTEN, SEEDS), max_size=4)
FILTERS = st.fixed_dictionaries(
    {}, optional={"step": st.integers(0, 4), "run_id": RUNS, "flag": st.booleans(), "missing": st.none()}
)
TASKS = st.sampled_from(["task-1", "task-2"])
PATHS = st.sampled_from(["", "~__pregel_pull, node", "~__pregel_push, 00, a"])

ITEMS: list[Callable[[int], Any]] = [
    lambda seed: seed % 256 - 20,
    lambda seed: f"word {seed}",
    lambda seed: "long " * (seed % 200),
    lambda seed: "same",
    lambda seed: HumanMessage(content=f"question {seed}", id=f"h{seed}"),
    lambda seed: AIMessage(
        content="", id=f"a{seed}", tool_calls=[{"name": "look", "args": {"at": [seed]}, "id": f"c{seed}"}]
    ),
    lambda seed: ToolMessage(content=[{"type": "text", "text": "é" * (seed % 90)}], tool_call_id=f"c{seed}"),
    lambda seed: Ticket(f"ticket {seed}", [seed, {"deep": Rank.LOW}]),
    lambda seed: Claim(text=f"claim {seed}", spans={"at": (seed, None)}, ticket=Ticket("inner", [])),
    lambda seed: {"id": seed, "rows": [{"n": n, "ok": n % 2 == 0} for n in range(seed % 40)]},
    lambda seed: {seed: "int key", None: 0.5, (1, 2): True, "": b"\0\xff"},
    lambda seed: {f"key {n}": item(seed + n) for n in range(seed % 9)},
    lambda seed: [item(seed // 2), [item(seed // 3)], []],
    lambda seed: (seed, "tuple", {"in": [1.0, 1, True, float("nan"), -0.0]}),
    lambda seed: {seed, "set"} if seed % 2 else frozenset([seed]),
    lambda seed: bytes([seed % 256]) * (seed % 700),
    lambda seed: bytearray(b"array") if seed % 2 else None,
    lambda seed: [UUID(int=seed), datetime(2026, 1, 1, tzinfo=UTC), Path("a/b"), Rank.LOW, RemoveMessage(id="h1")],
    lambda seed: {f"key {n}": f"value {n * seed % 97}" for n in range(seed % 900)},
    lambda seed: deep(seed),
    lambda seed: [n * seed / 7 for n in range(seed % 1500)],
    lambda seed: {n: str(n * seed) for n in range(seed % 700)},
    lambda seed: {n * seed for n in range(seed % 500)},
    lambda seed: [Ticket(f"ticket {n}", [n * seed % 5]) for n in range(seed % 70)],
    lambda seed: {"talk": [HumanMessage(f"said {n * seed % 31} " * 20, id=f"s{n}") for n in range(seed % 30)]},
    lambda seed: numpy.arange(seed % 3000) * 1.5 if numpy is not None else 1,
    lambda seed: [66, 68, 76, "", None, [], {}, "\0", "\ud800", 2**63, -(2**63)][seed % 11],
]
"""Values of every shape, made from a number."""


def deep(seed: int) -> Any:
    held: Any = {}
    for number in range(seed % 60):
        held = {"n": number, "text": f"word {number * seed % 13} " * 9, "in": [held]}
    return held


def item(seed: int) -> Any:
    return ITEMS[seed % len(ITEMS)](seed // len(ITEMS))


def exact(value: object) -> Any:
    """What a value is made of, with all types and the order of keys: 1, 1.0 and True differ, and NaN equals itself."""
    if isinstance(value, BaseModel):
        return type(value), exact(vars(value)), exact(value.__pydantic_extra__)
    if is_dataclass(value):
        return type(value), tuple((field.name, exact(getattr(value, field.name))) for field in fields(value))
    if isinstance(value, dict):
        return dict, tuple((exact(key), exact(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(exact(part) for part in value)
    if isinstance(value, set | frozenset):
        return type(value), frozenset(exact(part) for part in value)
    if numpy is not None and isinstance(value, numpy.ndarray):
        return numpy.ndarray, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, bytearray):  # inside another value, LangGraph's serializer makes bytes of it
        return bytes, repr(bytes(value))
    return type(value), repr(value)


def changed(value: Any, how: str, seed: int) -> Any:
    """The value a node returns instead of this one, which is left as it is."""
    if how == "new" or not isinstance(value, list | dict):
        return item(seed)
    if how == "copy":
        return copy.deepcopy(value)
    if isinstance(value, dict):
        kept = list(value.items())
        many = {f"row {n % 150}": item(n) for n in range(seed, seed + 1 + seed % 60)}
        return dict(kept[1:]) if how == "drop" else value | many if how == "grow" else dict(reversed(kept))
    middle = seed % (len(value) + 1)
    if how == "grow":
        return value + [item(n) for n in range(seed, seed + 1 + seed % 60)]
    if how == "drop":
        return value[:middle] + value[middle + 1 + seed % 5 :]
    if how == "front":
        return value[1 + seed % 3 :]
    return [*value[:middle], item(seed), *value[middle + seed % 2 :]]


def seen(found: CheckpointTuple | None) -> Any:
    """Everything a caller can read of a checkpoint."""
    if found is None:
        return None
    checkpoint = dict(found.checkpoint)
    values = checkpoint.pop("channel_values")
    return {
        "config": address(found.config),
        "parent": found.parent_config and address(found.parent_config),
        "values": {channel: exact(value) for channel, value in values.items()},  # type: ignore[attr-defined] # a dict
        "checkpoint": {key: exact(value) for key, value in checkpoint.items()},
        "metadata": {key: exact(value) for key, value in found.metadata.items()},
        "writes": [(task, channel, exact(value)) for task, channel, value in found.pending_writes or []],
    }


def address(config: RunnableConfig) -> tuple[str, str, str]:
    where = config["configurable"]
    return where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"]


def at(thread: str, namespace: str | None = None, checkpoint: str | None = None, **more: Any) -> RunnableConfig:
    found = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint, **more}
    return {"configurable": {key: value for key, value in found.items() if value is not None}}


class Model(InMemorySaver):
    """The in-memory saver with the operations it lacks, written down as plainly as possible."""

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        # Where it would mix what two processes made of one task, ours keeps what the first made.
        kept = self.writes[address(config)]
        channels = {index: channel for (task, index), (_, channel, *_) in kept.items() if task == task_id}
        if any(
            channel not in WRITES_IDX_MAP and channels.get(at, channel) != channel
            for at, (channel, _) in enumerate(writes)
        ):
            writes = [write for write in writes if write[0] in WRITES_IDX_MAP]
        super().put_writes(config, writes, task_id, task_path)

    def forget(self, thread: str, namespace: str, checkpoint: str) -> None:
        del self.storage[thread][namespace][checkpoint]
        self.writes.pop((thread, namespace, checkpoint), None)

    def delete_for_runs(self, run_ids: Any) -> None:
        for found in [*self.list(None)]:
            if found.metadata.get("run_id") in run_ids:
                self.forget(*address(found.config))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        source, target = source_thread_id, target_thread_id
        for namespace, rows in self.storage[source].items():
            self.storage[target][namespace].update(rows)
        self.writes.update({(target, *key[1:]): dict(rows) for key, rows in self.writes.items() if key[0] == source})
        self.blobs.update({(target, *key[1:]): blob for key, blob in self.blobs.items() if key[0] == source})


class Comparison(RuleBasedStateMachine):
    """Each rule does one thing to both savers; whatever can be read is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.savers = [self.opened(), self.opened()]
        self.model = Model(serde=JsonPlusSerializer(allowed_msgpack_modules=TYPES))
        self.live: dict[tuple[str, str, str], Checkpoint] = {}
        self.asynchronous = False
        self.count = itertools.count(1)

    def opened(self) -> SqliteCheckpointer:
        return SqliteCheckpointer(Path(self.folder.name, "checkpoints.db"), types=TYPES)

    def teardown(self) -> None:
        try:
            for found in self.everything(self.model):
                self.same("get_tuple", found.config)
            self.reopen()
            assert [seen(t) for t in self.everything(self.ours)] == [seen(t) for t in self.everything(self.model)]
            assert self.ours.check() == []
        finally:
            for saver in self.savers:
                saver.close()
            self.folder.cleanup()

    @property
    def ours(self) -> SqliteCheckpointer:
        return self.savers[0]

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call our saver through its sync or its async method."""
        if self.asynchronous:
            coming = getattr(self.ours, f"a{method}")(*args, **options)
            return asyncio.run(gathered(coming) if method == "list" else coming)
        found = getattr(self.ours, method)(*args, **options)
        return [*found] if method == "list" else found

    def both(self, method: str, *args: Any, **options: Any) -> None:
        assert self.call(method, *args, **options) == getattr(self.model, method)(*args, **options)

    def same(self, method: str, *args: Any) -> None:
        assert seen(self.call(method, *args)) == seen(getattr(self.model, method)(*args))

    def everything(self, saver: BaseCheckpointSaver[Any]) -> list[CheckpointTuple]:
        return sorted(saver.list(None), key=lambda found: address(found.config))

    def chosen(self, thread: str, namespace: str, pick: int) -> str | None:
        """The latest checkpoint, or now and then an older one, to fork from."""
        ids = sorted(self.model.storage[thread][namespace])
        return ids[-1 if pick % 3 else pick % len(ids)] if ids else None

    @initialize(steps=st.lists(st.tuples(EDITS, WRITES), min_size=2, max_size=4))
    def begin(self, steps: list[tuple[Edits, list[tuple[str, int]]]]) -> None:
        """Start with a thread of some steps, so that what comes next finds something to work on."""
        for number, (edits, writes) in enumerate(steps):
            self.put("thread-a", "", 1, number == 1, f"run-{number % 2}", [*edits, ("sometimes", "drop", 0)])
            self.put_writes("thread-a", "", 1, writes, f"task-{number}", f"~path-{9 - number}")
            self.put_writes("thread-a", "", 1, [("sometimes", number)], "task-x", "~path-0")

    @rule(thread=THREADS, namespace=NAMESPACES, pick=SEEDS, fresh=st.booleans(), run=RUNS, edits=EDITS)
    def put(self, thread: str, namespace: str, pick: int, fresh: bool, run: str, edits: Edits) -> None:
        parent = self.chosen(thread, namespace, pick)
        before = self.live.get((thread, namespace, parent or ""))
        if parent and (fresh or before is None):
            before = self.call("get_tuple", at(thread, namespace, parent)).checkpoint
        values = dict(before["channel_values"]) if before else {}
        versions = dict(before["channel_versions"]) if before else {}
        new: ChannelVersions = {channel: self.version(thread, versions.get(channel)) for channel, _, _ in edits}
        for channel, how, seed in edits:
            if channel == "sometimes" and how == "drop":
                values.pop(channel, None)
            else:
                start: Any = {"log": [], "messages": [], "table": {}}.get(channel)
                values[channel] = changed(values.get(channel, start), how, seed)
        step = next(self.count)
        checkpoint = Checkpoint(
            v=2,
            id=str(uuid6(clock_seq=step)),
            ts=datetime.now(UTC).isoformat(),
            channel_values=values,
            channel_versions=versions | new,
            versions_seen={"__input__": {}, "node": dict(itertools.islice(versions.items(), pick % 4))},
            updated_channels=sorted(new) if pick % 2 else None,
        )
        if pick % 7 == 0:  # with durability "async" a task's writes may come before the checkpoint they belong to
            self.both("put_writes", at(thread, namespace, checkpoint["id"]), [("log", pick)], "early", "~early")
        config = at(thread, namespace, parent, user=f"user \0{pick % 3}", __private="x", flag=pick % 2 == 0)
        metadata: CheckpointMetadata = {"source": "loop", "step": step % 5, "run_id": run, "parents": {"": f"p{pick}"}}
        if "sometimes" in versions | new and "sometimes" not in values:  # as a run marks a DeltaChannel
            metadata["counters_since_delta_snapshot"] = {"sometimes": (1, step)}
        self.both("put", config, checkpoint, metadata, new)
        self.live[thread, namespace, checkpoint["id"]] = checkpoint
        if pick % 11 == 0:  # the same checkpoint once more, as an exiting run may store it
            self.both("put", config, checkpoint, {**metadata, "source": "update"}, new)
        self.same("get_tuple", at(thread, namespace))

    def version(self, thread: str, current: Any) -> str | int:
        return next(self.count) if thread == "thread-b" else self.model.get_next_version(current, None)

    @rule(thread=THREADS, namespace=NAMESPACES, pick=SEEDS, writes=WRITES, task=TASKS, path=PATHS)
    def put_writes(
        self, thread: str, namespace: str, pick: int, writes: list[tuple[str, int]], task: str, path: str
    ) -> None:
        if (checkpoint := self.chosen(thread, namespace, pick)) is not None:
            made = [(channel, item(seed)) for channel, seed in writes]
            self.both("put_writes", at(thread, namespace, checkpoint), made, task, path)
            self.same("get_tuple", at(thread, namespace, checkpoint))

    @rule(thread=THREADS)
    def delete_thread(self, thread: str) -> None:
        self.both("delete_thread", thread)

    @rule(thread=THREADS, copied=THREADS)
    def copy_thread(self, thread: str, copied: str) -> None:
        if not any(self.model.storage[copied].values()):
            self.both("copy_thread", thread, copied)

    @rule(runs=st.sets(RUNS, min_size=1, max_size=2))
    def delete_for_runs(self, runs: set[str]) -> None:
        self.both("delete_for_runs", sorted(runs))

    @rule(threads=st.sets(THREADS, min_size=1, max_size=2), strategy=st.sampled_from(["keep_latest", "delete"]))
    def prune(self, threads: set[str], strategy: str) -> None:
        latest = {}
        for found in self.everything(self.model):
            if found.config["configurable"]["thread_id"] in threads and strategy == "keep_latest":
                latest[address(found.config)[:2]] = found
        needed = {
            place: [
                name for name in found.checkpoint["channel_versions"] if name not in found.checkpoint["channel_values"]
            ]
            for place, found in latest.items()
        }
        histories = {place: self.history(self.model, at(*place), names) for place, names in needed.items()}
        self.call("prune", sorted(threads), strategy=strategy)
        kept = {address(found.config) for found in self.ours.list(None)}
        for found in self.everything(self.model):
            thread, namespace, checkpoint = address(found.config)
            if thread in threads and (thread, namespace, checkpoint) not in kept:
                assert (thread, namespace) not in latest or checkpoint != latest[thread, namespace].checkpoint["id"]
                self.model.forget(thread, namespace, checkpoint)
        for place, names in needed.items():
            # Ancestors stay only where a channel that keeps no value of its own is put together from their writes.
            assert names or len([1 for address in kept if address[:2] == place]) == 1
            assert self.history(self.ours, at(*place), names) == histories[place]
        assert strategy == "keep_latest" or not {thread for thread, _, _ in kept} & threads

    @rule()
    def reopen(self) -> None:
        for saver in self.savers:
            saver.close()
        self.savers = [self.opened(), self.opened()]

    @rule()
    def use_the_other_saver_of_the_same_file(self) -> None:
        self.savers.reverse()

    @rule(asynchronous=st.booleans())
    def use_the_other_methods(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous

    @rule(thread=THREADS, namespace=NAMESPACES, pick=SEEDS, channels=st.lists(WRITTEN, max_size=3, unique=True))
    def read_history(self, thread: str, namespace: str, pick: int, channels: list[str]) -> None:
        config = at(thread, namespace, self.chosen(thread, namespace, pick) if pick % 2 else None)
        assert self.history(self.ours, config, channels) == self.history(self.model, config, channels)

    def history(self, saver: BaseCheckpointSaver[Any], config: RunnableConfig, channels: list[str]) -> Any:
        method = "get_delta_channel_history"
        read = getattr(saver, method) if saver is self.model else partial(self.call, method)
        found = read(config=config, channels=channels)
        return {channel: exact(entry) for channel, entry in found.items()}

    @rule(
        thread=st.none() | THREADS,
        namespace=st.none() | NAMESPACES,
        wanted=FILTERS,
        before=st.none() | SEEDS,
        limit=st.none() | st.integers(0, 4),
    )
    def read_list(
        self, thread: str | None, namespace: str | None, wanted: dict[str, Any], before: int | None, limit: int | None
    ) -> None:
        config = at(thread, namespace) if thread else None
        ids = sorted({key for spaces in self.model.storage.values() for rows in spaces.values() for key in rows})
        options: dict[str, Any] = {"filter": wanted or None}
        if before is not None and ids:
            options["before"] = at("thread-a", "", ids[before % len(ids)])
        expected = [seen(found) for found in self.model.list(config, **options)]
        expected.sort(key=lambda found: found["config"][2], reverse=True)
        found = [seen(found) for found in self.call("list", config, **options, limit=limit)]
        newest = [one["config"][2] for one in expected][:limit]
        assert [one["config"][2] for one in found] == newest
        assert all(one in expected for one in found)


async def gathered(coming: AsyncIterator[CheckpointTuple]) -> list[CheckpointTuple]:
    return [found async for found in coming]


def test_the_saver_reads_as_the_in_memory_saver_does() -> None:
    run_state_machine_as_test(Comparison, settings=modest(examples=18, steps=30))


@pytest.mark.hunt
def test_the_saver_reads_as_the_in_memory_saver_does_for_long(part: Part) -> None:
    run_state_machine_as_test(Comparison, settings=modest(examples=part.number(400), steps=60))


def modest(*, examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
