"""How many files a stranger must open to follow one call: files, functions, calls and changes of file on four ways.

A guarded model call (warm, its limit unknown, call and run budget set), an approved action from the act node to its
finished effect, and one `put` and `get_tuple` of the saver. Counted by `sys.setprofile` in every thread: calls of
functions in files of the seven rooms; a coroutine that goes on after it waited counts as called again. Changes of file
are from one counted call to the next in the same thread. `python3 make.py bench -- call_paths [--list]`
"""

import argparse
import asyncio
import platform
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table
from savers.contestants import OURS, Conversation

import signoff
from signoff import Action, Agent, Artifact, Budget, Ledger, Policy, SqliteCheckpointer, Task, Team
from signoff.agents.models.registry import load_models
from signoff.agents.run_context import Payer, paying
from signoff.settings import load_settings
from signoff.testing import ScriptedServer

ROOMS = ("signoff", "agents", "checkpoints", "graphs", "fleet", "desk", "tools")
ROOT = Path(signoff.__file__).resolve().parent.parent
WARM = 10
"""Times that each way is gone before it is counted."""


@cache
def file_of(name: str) -> str:
    """The file of a code object from the root on, with the links to the rooms resolved; empty if it is not ours."""
    path = Path(name).resolve()
    inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    is_ours = inside.partition("/")[0] in ROOMS and not inside.startswith("signoff/testing/")
    return inside if is_ours else ""


@dataclass(frozen=True)
class Call:
    """A function that was called, or a coroutine that went on."""

    thread: int
    file: str
    function: str


@dataclass
class Way:
    """What was called on one way, in order."""

    name: str
    calls: list[Call] = field(default_factory=list)
    thread: int = field(default_factory=threading.get_ident)
    """Whoever goes the way."""

    def without(self, folder: str) -> "Way":
        return Way(self.name, [call for call in self.calls if not call.file.startswith(folder)], self.thread)

    def by_thread(self) -> list[list[Call]]:
        threads = dict.fromkeys(call.thread for call in self.calls)
        return [[call for call in self.calls if call.thread == thread] for thread in threads]

    def figures(self, *, all_threads: bool) -> tuple[int, ...]:
        """Files, functions, calls, changes of file, changes of room."""
        threads = [calls for calls in self.by_thread() if all_threads or calls[0].thread == self.thread]
        calls = [call for thread in threads for call in thread]
        pairs = [pair for thread in threads for pair in pairwise(thread)]
        return (
            len({call.file for call in calls}),
            len({(call.file, call.function) for call in calls}),
            len(calls),
            sum(one.file != other.file for one, other in pairs),
            sum(one.file.partition("/")[0] != other.file.partition("/")[0] for one, other in pairs),
        )


class Recorder:
    """Hears of every call in every thread begun while it listens; keeps them while a way is gone."""

    def __init__(self) -> None:
        self.path: Way | None = None
        self.within: str = ""
        """Function that the way begins and ends with; empty: all of it counts."""
        self.ways: list[Way] = []

    def hear(self, frame: FrameType, event: str, _: Any) -> None:
        """A profile function."""
        path, code = self.path, frame.f_code
        if path is None or event not in ("call", "return"):
            return
        name = file_of(code.co_filename)
        if not name:
            return
        if event == "return":
            if code.co_qualname == self.within:
                self.path = None
            return
        if self.within and not path.calls and code.co_qualname != self.within:
            return
        if self.within and not path.calls:
            path.thread = threading.get_ident()
        path.calls.append(Call(threading.get_ident(), name, code.co_qualname))

    @contextmanager
    def recorded(self, name: str, *, within: str = "") -> Iterator[None]:
        """Count what is called meanwhile, or between the call and the return of one function."""
        path = Way(name)
        self.within, self.path = within, path
        try:
            yield
            if not within:
                time.sleep(0.1)  # other threads end what they began
        finally:
            self.path = None
        if not path.calls:
            raise LookupError(f"Nothing was called on the way {name!r}{within and f': is there no {within} any more?'}")
        self.ways.append(path)

    @contextmanager
    def listening(self) -> Iterator[None]:
        threading.setprofile(self.hear)
        sys.setprofile(self.hear)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def call_a_model(recorder: Recorder, folder: Path) -> None:
    """One guarded call, warm: nothing is known of its endpoint's limit, a call and a run have budgets."""
    with ScriptedServer(["Paris"] * (WARM + 1)) as server, closing(Ledger(folder / "call.db")) as ledger:
        prices = {"scripted": {"input": 1.0, "output": 4.0}}
        models = load_models(load_settings(base_url=server.url, model="openai:scripted", prices=prices))
        assert models is not None
        model, budgets = models.model(""), {"call": Budget(usd=1), "run": Budget(usd=50)}

        async def work() -> None:
            for _ in range(WARM):
                await model.ainvoke("Where?")
            with recorder.recorded("guarded model call"):
                await model.ainvoke("Where?")

        with paying(Payer(ledger=ledger, run_id="r-1", team="team", role="writer", budgets=budgets)):
            asyncio.run(work())


class Payment(BaseModel):
    """What a payment is asked for with."""

    euros: int


class Invoice(Artifact):
    """What the clerk works out."""

    euros: int


def do_an_action(recorder: Recorder, folder: Path) -> None:
    """An action that policy allows, from the act node to its finished effect."""
    pay: Action[Payment] = Action(
        name="pay", description="Pays.", arguments=Payment, call=lambda _, key: {"receipt": key}
    )

    def work(_: Task) -> Invoice:
        return Invoice(euros=5)

    def propose(_: Invoice, __: Task) -> list[Any]:
        return [pay.propose(Payment(euros=5), "due today")]

    clerk = Agent(role="clerk", gives=Invoice, function=work, actions=(pay,), propose=propose)
    with closing(Ledger(folder / "act.db")) as ledger:
        graph = Team(agents=[clerk], policy=Policy({"pay": "allow"}), ledger=ledger).compile()
        for turn in range(WARM):
            graph.invoke({"goal": "pay"}, {"configurable": {"thread_id": f"warm-{turn}"}})
        with recorder.recorded("act to effect", within="_Acts.act"):
            done = graph.invoke({"goal": "pay"}, {"configurable": {"thread_id": "counted"}})
        assert [outcome["status"] for outcome in done["outcomes"]] == ["done"]


def keep_a_state(recorder: Recorder, folder: Path) -> None:
    """One `put` of 31 messages of which 1 is new, and one `get_tuple` of the same."""
    with SqliteCheckpointer(folder / "saver.db") as saver:

        async def work() -> None:
            talk = Conversation(OURS, saver)
            await talk.begin(30 - WARM)
            for _ in range(WARM):
                await talk.step()
            put = talk.call_put

            def counted(*state: Any) -> Any:
                with recorder.recorded("put, 31 messages, 1 new"):
                    return put(*state)

            talk.call_put = counted
            await talk.step()
            with recorder.recorded("get_tuple of the same"):
                saver.get_tuple(talk.here)

        asyncio.run(work())


WAYS: tuple[Callable[[Recorder, Path], None], ...] = (call_a_model, do_an_action, keep_a_state)


def show_list(console: Console, path: Way) -> None:
    """The files by how often they are called, and the order in which one changes between them."""
    console.print(f"\n[bold]{path.name}[/]", highlight=False)
    for file, count in Counter(call.file for call in path.calls).most_common():
        console.print(f"  {count:4}  {file}", highlight=False)
    for calls in path.by_thread():
        console.print("  in the caller's thread" if calls[0].thread == path.thread else "  in another thread")
        for file, together in groupby(calls, key=lambda call: call.file):
            functions = " ".join(call.function.rpartition(".")[2] for call in together)
            console.print(f"      {file}: {functions}", highlight=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name the files, and the order of the changes between them")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    asked = parser.parse_args()
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder, recorder.listening():
        for way in WAYS:
            way(recorder, Path(folder))
    columns = ("way", "threads", "files", "functions", "calls", "changes of file", "changes of room")
    table = Table(*columns, box=box.MARKDOWN if asked.markdown else box.SIMPLE_HEAD)
    ways = [path.without("checkpoints/saver/") if path.name == "act to effect" else path for path in recorder.ways]
    for path in ways:
        for threads in ("the caller's", "all"):
            table.add_row(path.name, threads, *map(str, path.figures(all_threads=threads == "all")))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    packages = ("signoff", "langgraph", "langchain-core", "langchain-openai", "sqlalchemy")
    console.print(f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in packages)}")
    for path in ways if asked.list else ():
        show_list(console, path)


if __name__ == "__main__":
    main()
