"""Who takes part in the benchmark of checkpoints, and one superstep of theirs, timed."""

import inspect
import random
import sqlite3
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from signoff.checkpoints.saver.saver import SqliteCheckpointer

OURS, OURS_ASYNC, OFFICIAL, OFFICIAL_ASYNC = "ours", "ours async", "SqliteSaver", "AsyncSqliteSaver"
MEMORY, BARE = "InMemorySaver", "bare INSERT"
SAVERS = (OURS, OURS_ASYNC, OFFICIAL, OFFICIAL_ASYNC, MEMORY, BARE)
READABLE = SAVERS[:-1]
ASYNC = {OURS_ASYNC, OFFICIAL_ASYNC}


class Spent(NamedTuple):
    """Milliseconds by the clock, and of CPU: the whole process's, as a saver may have threads of its own."""

    wall: float
    cpu: float


class Clocks:
    """Both clocks, read when this is made. Reading that of CPU takes a while itself, and can be left out."""

    def __init__(self, *, with_cpu: bool = True) -> None:
        self.with_cpu = with_cpu
        self.cpu = time.process_time() if with_cpu else 0.0
        self.wall = time.perf_counter()

    def passed(self) -> Spent:
        wall = time.perf_counter() - self.wall
        return Spent(1000 * wall, 1000 * (time.process_time() - self.cpu) if self.with_cpu else 0.0)


class BareInsert:
    """A floor to compare with: one row with the new message, one commit; it keeps nothing else."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self.dumps = JsonPlusSerializer().dumps_typed
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=60)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {setting}")
        self.connection.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, value BLOB)")

    def close(self) -> None:
        self.connection.close()

    def get_next_version(self, current: int | None, _: None) -> int:
        return (current or 0) + 1

    def put(self, config: RunnableConfig, checkpoint: Checkpoint, *_: object) -> RunnableConfig:
        self.insert(checkpoint["channel_values"]["messages"][-1])
        return config

    def put_writes(self, _: RunnableConfig, writes: list[tuple[str, Any]], *__: object) -> None:
        self.insert(writes[0][1])

    def insert(self, message: object) -> None:
        with self.lock:
            self.connection.execute("INSERT INTO rows VALUES (?, ?)", (str(uuid6()), self.dumps(message)[1]))


@asynccontextmanager
async def opened(folder: Path, *names: str) -> AsyncIterator[dict[str, Any]]:
    """These savers, each in a file of its own in this folder."""
    async with AsyncExitStack() as stack:
        savers: dict[str, Any] = {}
        for name in names:
            path = folder / f"{name}.db"
            if name in (OURS, OURS_ASYNC):
                savers[name] = stack.enter_context(SqliteCheckpointer(path))
            elif name == OFFICIAL:
                savers[name] = stack.enter_context(SqliteSaver.from_conn_string(str(path)))
            elif name == OFFICIAL_ASYNC:
                savers[name] = await stack.enter_async_context(AsyncSqliteSaver.from_conn_string(str(path)))
            else:
                savers[name] = InMemorySaver() if name == MEMORY else stack.enter_context(closing(BareInsert(path)))
        yield savers


def opened_alone(path: Path, name: str) -> Any:
    """One of the two savers that are called without a loop, for `closing`."""
    if name == OURS:
        return SqliteCheckpointer(path)
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    saver: Any = SqliteSaver(connection)
    saver.setup()
    saver.close = connection.close
    return saver


class Conversation:
    """One thread whose list of messages grows by one at every superstep.

    A saver that is not asynchronous is called as it is made for, without a thread: its coroutines here never wait.
    """

    def __init__(self, name: str, saver: Any, thread: str = "thread") -> None:
        waits = name in ASYNC
        self.call_writes: Callable[..., Any] = saver.aput_writes if waits else saver.put_writes
        self.call_put: Callable[..., Any] = saver.aput if waits else saver.put
        self.saver, self.waits = saver, waits
        self.here: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        self.config, self.run = self.here, str(uuid6())
        self.messages: list[HumanMessage] = []
        self.version: str | None = None
        self.number = -1

    def state(self, *new: HumanMessage) -> tuple[RunnableConfig, Checkpoint, CheckpointMetadata, ChannelVersions]:
        """Arguments of the next `put`: a new list, in which the earlier messages are the same objects."""
        self.messages = [*self.messages, *new]
        self.version = self.saver.get_next_version(self.version, None)
        self.number += 1
        assert self.version is not None
        versions: ChannelVersions = {"messages": self.version, "branch:to:agent": self.version}
        checkpoint: Checkpoint = {
            "v": 4,
            "id": str(uuid6(clock_seq=self.number)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": {"messages": self.messages, "branch:to:agent": None},
            "channel_versions": versions,
            "versions_seen": {"__input__": {}, "agent": {"branch:to:agent": self.version}},
            "updated_channels": ["messages", "branch:to:agent"],
        }
        metadata: CheckpointMetadata = {"source": "loop", "step": self.number, "parents": {}, "run_id": self.run}
        return self.config, checkpoint, metadata, versions

    async def begin(self, size: int = 1) -> None:
        """Put a state of this many messages as the first one."""
        self.config = await settled(self.call_put(*self.state(*(new_message() for _ in range(size)))))

    async def step(self, *, with_cpu: bool = True) -> tuple[Spent, Spent]:
        """Take a superstep; returns what `put_writes` and what `put` took."""
        message, began = new_message(), Clocks(with_cpu=with_cpu)
        await settled(self.call_writes(self.config, [("messages", message)], str(uuid6())))
        written, state = began.passed(), self.state(message)
        began = Clocks(with_cpu=with_cpu)
        self.config = await settled(self.call_put(*state))
        return written, began.passed()

    async def read(self) -> float:
        """Milliseconds to read the latest state, which must be the one that was put."""
        began = Clocks()
        found = await settled((self.saver.aget_tuple if self.waits else self.saver.get_tuple)(self.here))
        taken = began.passed().wall
        assert found is not None, "nothing was kept"
        assert found.checkpoint["channel_values"]["messages"] == self.messages, "another state was kept"
        return taken

    async def list_all(self) -> float:
        """Seconds to list every checkpoint of the thread."""
        began = Clocks()
        if self.waits:
            found = sum([1 async for _ in self.saver.alist(self.here)])
        else:
            found = sum(1 for _ in self.saver.list(self.here))
        assert found == self.number + 1, f"{found} of {self.number + 1} checkpoints were listed"
        return began.passed().wall / 1000


async def settled(answer: Any) -> Any:
    """The answer, of an asynchronous saver too."""
    return await answer if inspect.isawaitable(answer) else answer


def new_message() -> HumanMessage:
    """1,000 letters at random, quickly made, which cannot be compressed much."""
    return HumanMessage(b64encode(random.randbytes(750)).decode(), id=str(uuid6()))
