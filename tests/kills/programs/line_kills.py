"""Kills a process at a line of our code while a payment is decided and made; then another process finishes the run.

Arguments: the ledger's database, an empty folder, `few`, `some` or `every`, which part of how many, and the scenarios,
if not all. `every` kills in every state of the databases and the bank that a line of `graphs` or `checkpoints` is
reached in, and at every hundredth of all hits. `some` leaves out what only routes, and kills a line
where a scenario is the first to reach it: in the modules that decide, call and write in SQLite each line at its first
and its last hit, in PostgreSQL every second line at its first; of the other modules every fourth line, at its first
hit, in SQLite, and every other fourth in PostgreSQL; and of the lines that were killed before every hundredth, at its
last hit. `few` kills at four lines of each scenario, spread over what decides, calls and writes. Prints a JSON line for
each kill. Everything is imported and warmed up first and each process is a fork.
"""

import gc
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from forked import KILLED, Line, count_lines, find_states, in_fork, kill_at, must
from naive import with_naive_act
from payments import Bank, Kind, Person, Verdict, build_team, config_of, drive

from signoff import Ledger
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.graphs.nodes.act import perform

WAYS = ("answer", "continue", "decide")
"""How the run is taken up again: the answer is sent once more, nothing is sent, or it is decided at the desk."""

SAVER = ("checkpoints.saver.", "checkpoints.db.fork_safety")
"""The saver, which has crash tests of its own, and forking."""

ROUTES = (
    "graphs.routing.",
    "graphs.teams.",
    "graphs.team",
    "graphs.state",
    "graphs.nodes.agent",
    "graphs.nodes.intake",
    "graphs.nodes.supervisor",
)
"""What decides nothing and calls nothing in the graph."""

CORE = (
    "graphs.approval.decision",
    "graphs.nodes.act",
    "graphs.nodes.gate",
    "checkpoints.ledger.approval",
    "checkpoints.ledger.effects",
    "naive",
)
"""What decides, calls and writes. All three are beginnings of names of modules."""

FEW = 4
SAMPLE = 100
BATCH = 8
"""How many runs one process finishes, each of a process that was killed."""


@dataclass(frozen=True)
class Scenario:
    """What happens while lines are counted, and killed."""

    kind: Kind = "plain"
    verdict: Verdict = "approve"
    at_desk: bool = False
    after: Literal["nothing", "question", "death before", "death after"] = "question"
    """What was before: nothing, the question, or a process that died in the call, before or after it took effect."""
    new: bool = False
    """In a database that is not there yet."""
    naive: bool = False
    """With an act node that claims after the call: to show that doubles are seen."""


SCENARIOS = {
    "approving": Scenario(),
    "asking": Scenario(after="nothing"),
    "asking in a new database": Scenario(after="nothing", new=True),
    "approving at the desk": Scenario(at_desk=True),
    "editing": Scenario(kind="idempotent", verdict="edit"),
    "editing at the desk": Scenario(kind="reconcile", verdict="edit", at_desk=True),
    "rejecting": Scenario(verdict="reject"),
    "rejecting at the desk": Scenario(verdict="reject", at_desk=True),
    "with a read-back": Scenario(kind="reconcile"),
    "idempotent": Scenario(kind="idempotent"),
    "settling what happened": Scenario(after="death after"),
    "settling what did not happen": Scenario(after="death before", at_desk=True),
    "reading back what happened": Scenario(kind="reconcile", after="death after"),
    "reading back what did not happen": Scenario(kind="reconcile", after="death before"),
    "calling again": Scenario(kind="idempotent", after="death before"),
    "naive": Scenario(naive=True),
}


@dataclass(frozen=True)
class Office:
    """Ledger, saver and bank. A fork inherits them without connections and opens its own."""

    ledger: Ledger
    saver: SqliteCheckpointer
    bank: Bank
    scenario: Scenario
    graph: Any
    address: str = ""
    """Of the ledger's database, password and all."""

    @property
    def person(self) -> Person:
        return Person(self.bank, self.ledger, self.scenario.verdict, self.scenario.at_desk)

    def prepare(self, threads: Sequence[str]) -> None:
        """Bring each thread to where the scenario begins."""
        if self.scenario.after != "nothing":
            must(lambda: [drive(self.graph, thread, None) for thread in threads])
        if self.scenario.after in ("death before", "death after"):
            when: Any = self.scenario.after.removeprefix("death ")
            bank = replace(self.bank, dies=when)
            dying = open_office(self.ledger, self.saver, bank, self.scenario)
            for thread in threads:
                code, _ = in_fork(partial(drive, dying.graph, thread, self.person))
                assert code == KILLED

    def play(self, thread: str) -> None:
        """What is killed."""
        drive(self.graph, thread, None if self.scenario.after == "nothing" else self.person)

    def look(self, thread: str) -> dict[str, Any]:
        """What the bank and the ledger know of the thread's run."""
        entries = self.ledger.audit.entries(thread)
        asked = {entry.body["proposal"]: entry.body["action"] for entry in entries if entry.event == "proposed"}
        decided = [entry.body["approval"] for entry in entries if entry.event in ("approved", "rejected")]
        approvals = [self.ledger.approvals.get(approval) for approval in decided]
        return {
            "paid": self.bank.paid(thread),
            "effects": [(effect.key, effect.status) for effect in self.ledger.effects.of_run(thread)],
            "decided": [asked[approval.proposal_id] for approval in approvals],
            "events": [entry.event for entry in entries],
        }

    def finish(self, thread: str, way: str) -> dict[str, Any]:
        """Look at what is left, bring the run to its end, and try to do once more what was approved."""
        left, config = self.look(thread), config_of(thread)
        person = replace(self.person, at_desk=way == "decide")
        if way == "answer" and "proposed" in left["events"]:
            first = next(entry for entry in self.ledger.audit.entries(thread) if entry.event == "proposed")
            approval = self.ledger.approvals.of_proposal(first.body["proposal"])
            assert approval is not None
            self.graph.invoke(person.decide(approval), config, durability="sync")
        asked = drive(self.graph, thread, person)
        ended = self.look(thread)
        for effect in self.ledger.effects.of_run(thread) if not self.scenario.naive else ():
            perform(self.ledger, self.ledger.approvals.get(effect.approval_id), self.bank.action)
        return {
            "left": left,
            "asked": asked,
            "ended": ended,
            "paid again": self.bank.paid(thread) != ended["paid"],
            "outcomes": [(done["action"], done["status"]) for done in self.graph.get_state(config).values["outcomes"]],
            "status": self.ledger.runs.get(thread).status,
        }


def open_office(ledger: Ledger, saver: SqliteCheckpointer, bank: Bank, scenario: Scenario) -> Office:
    builder: Any = build_team(bank, ledger).graph()
    if scenario.naive:
        builder = with_naive_act(builder, bank, ledger)
    return Office(ledger, saver, bank, scenario, builder.compile(checkpointer=saver))


class Killing:
    """The rounds in one database."""

    def __init__(self, database: str, folder: Path, mode: str, part: slice) -> None:
        self.database, self.folder, self.mode, self.part = database, folder, mode, part
        self.ledger, self.saver = Ledger(database), SqliteCheckpointer(file_of(database, folder))
        self.seen: set[Line] = set()
        self.made = 0

    def rounds(self, name: str) -> Iterator[dict[str, Any]]:
        """Kill and finish, for each planned line of a scenario."""
        scenario, prefix = SCENARIOS[name], name.replace(" ", "-")
        office = open_office(self.ledger, self.saver, Bank(self.folder / prefix, scenario.kind), scenario)
        drive(office.graph, f"{prefix}-warm", office.person)
        gc.collect()
        gc.freeze()
        files, first = self.watched(scenario), self.place(office)
        first.prepare([f"{prefix}-whole"])
        play = partial(first.play, f"{prefix}-whole")
        planned = (
            find_states(files, partial(outside, first), SAMPLE, play)
            if self.mode == "every"
            else list(self.plan(count_lines(files, play)))
        )[self.part]
        threads = [f"{prefix}-{number}" for number in range(len(planned))]
        office.prepare(threads)
        killed: list[tuple[Office, str, dict[str, Any]]] = []
        for number, (thread, (line, hit)) in enumerate(zip(threads, planned, strict=True)):
            here, way = self.place(office), WAYS[number % len(WAYS)]
            code = kill_at(files, line, hit, partial(here.play, thread))
            told = {
                "scenario": name,
                "kind": scenario.kind,
                "verdict": scenario.verdict,
                "line": f"{line[0]}:{line[1]}",
                "hit": hit,
                "way": way,
                "killed": code == KILLED,
            }
            killed.append((here, thread, told))
            if len(killed) == (1 if scenario.new else BATCH) or number + 1 == len(planned):
                yield from must(lambda: [{**told, **here.finish(at, told["way"])} for here, at, told in killed])
                killed.clear()

    def plan(self, counted: Mapping[Line, int]) -> Iterator[tuple[Line, int]]:
        """At which hits which lines are killed."""
        core = sorted(line for line in counted if line[0].startswith(CORE))
        few = core[len(core) // (2 * FEW) :: max(1, len(core) // FEW)]
        for place, (line, times) in enumerate(sorted(counted.items())):
            if self.mode == "few":
                yield from [(line, 1)] if line in few else []
            elif line in self.seen:
                yield from [(line, times)] if place % SAMPLE == len(self.seen) % SAMPLE else []
            elif line[0].startswith(CORE) and "://" not in self.database:
                yield from ((line, hit) for hit in sorted({1, times}))
            elif line[0].startswith(CORE):
                yield from [(line, 1)] if line[1] % 2 or line[0] == "naive" else []
            elif line[1] % 4 == 2 * ("://" in self.database):
                yield line, 1
        self.seen |= set(counted)

    def place(self, office: Office) -> Office:
        """Where a round is played: here, or in a database that is not there yet."""
        if not office.scenario.new:
            return replace(office, address=self.database)
        self.made += 1
        database = str(self.folder / f"new-{self.made}.db")
        if "://" in self.database:
            database = new_database(self.database)
        saver = SqliteCheckpointer(self.folder / f"new-{self.made}.db")
        return replace(open_office(Ledger(database), saver, office.bank, office.scenario), address=database)

    def watched(self, scenario: Scenario) -> dict[str, str]:
        """The modules whose lines are killed, by the paths of their files."""
        if scenario.naive:
            return {str(sys.modules["naive"].__file__): "naive"}
        found = {}
        for name, module in sys.modules.items():
            short = name.removeprefix("signoff.")
            left_out = short.startswith(SAVER) or (self.mode != "every" and short.startswith(ROUTES))
            if short.startswith(("graphs.", "checkpoints.")) and not left_out:
                found[str(module.__file__)] = short
        return found


def file_of(database: str, folder: Path) -> Path:
    """The file of the checkpoints: the ledger's own, unless that is on a server."""
    return folder / "checkpoints.db" if "://" in database else Path(database)


def outside(office: Office) -> str:
    """All that is outside of a process that works here, in one word: the files, and of a server what it tells."""
    digest = hashlib.sha256()
    for path in (office.bank.path, *(Path(f"{office.saver.database}{end}") for end in ("", "-wal"))):
        digest.update(path.read_bytes() if path.exists() else b"")
        digest.update(b"|")
    if "://" in office.address:
        digest.update(repr(_tables(office.address)).encode())
    return digest.hexdigest()


@cache
def _connection(address: str, process: int) -> Any:
    """For looking at a server from this process."""
    import psycopg

    return psycopg.connect(address, autocommit=True)


def _tables(address: str) -> list[Any]:
    """How many rows each table has, and the newest transaction that wrote one."""
    query = _connection(address, os.getpid()).execute
    names = [name for (name,) in query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
    each = [f'SELECT count(*), max(xmin::text::bigint) FROM "{name}"' for name in names]
    return [names, query(" UNION ALL ".join(each)).fetchall() if each else []]


def new_database(address: str) -> str:
    """Address of an empty database on the same server; the one made before is gone."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS line_kills WITH (FORCE)")
        connection.execute("CREATE DATABASE line_kills")
    return urlunsplit(urlsplit(address)._replace(path="/line_kills"))


if __name__ == "__main__":
    index, parts = map(int, sys.argv[4].split("/"))
    killing = Killing(sys.argv[1], Path(sys.argv[2]), sys.argv[3], slice(index, None, parts))
    for name in sys.argv[5:] or [name for name, scenario in SCENARIOS.items() if not scenario.naive]:
        for told in killing.rounds(name):
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    assert killing.ledger.audit.verify().ok
