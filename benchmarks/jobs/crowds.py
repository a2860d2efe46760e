"""A crowd of jobs done by worker processes in a project of its own, left in peace or killed; and what came of it.

What is counted: jobs that did not end as they should, effects that happened twice, turns begun and runs ended, calls
of the model; CPU and memory of the workers. Seconds are those of the machine, whoever else uses it.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select, text

from jobs.scripted_endpoint import ScriptedEndpoint, scripted_endpoint
from signoff.checkpoints.jobs import STATUSES, Which
from signoff.checkpoints.ledger.schema import audit, jobs
from signoff.fleet.queue import Fleet, read_jobs
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

DELAY, RATE = 0.2, 100
"""Seconds of each answer; requests that the endpoint takes a second."""
FAULT_EVERY: Final = 20
PATIENCE: Final = 240.0
"""Seconds without any change after which what is left counts as lost."""
_LOOK: Final = 0.25
_MOMENT: Final = 3.0
"""A kill comes up to so many seconds after enough of the work was done: kills are spread over a crowd."""
_WORKER: Final = [sys.executable, "-m", "signoff", "fleet", "work", "--concurrency"]


@dataclass(frozen=True)
class Crowd:
    """What is to be done, by whom."""

    database: str
    """An address of PostgreSQL; empty: SQLite, in the project."""
    jobs: int
    workers: int
    at_once: int
    """Of all workers together."""
    asked: int = 0
    """So many of the jobs ask a person, who says yes."""
    kills: int = 0
    faults: bool = False
    seed: int = 1
    team: str = "reports"
    asking_team: str = "asked"


@dataclass
class Outcome:
    """What came of it."""

    done: int
    stands: dict[str, int]
    twice: int
    unsent: int
    began: int
    """Turns: how often a worker took a run."""
    ended: int
    calls: int
    refused: int
    faults: int
    kills: int
    parked: int
    """Given up, and then retried by hand."""
    decided: int
    wall: float
    """From the first turn to the last end."""
    cpu: float
    running_mb: float
    """For each job at once: the peak of the workers' memory, less what they had before the first job."""
    idle_mb: float
    """Of a worker before its first job."""
    kilobytes: float
    """Of the database, a job."""
    transactions: float
    """Of PostgreSQL, a job, those that only read among them; 0 for SQLite, which does not count them."""

    @property
    def bound(self) -> float:
        """Seconds that the endpoint's rate allows for these calls, and the last answer's own."""
        return self.calls / RATE + DELAY


class Workers:
    """The worker processes, of which each that is killed is followed by another."""

    def __init__(self, folder: Path, number: int, at_once: int) -> None:
        self._folder, self._command = folder, [*_WORKER, str(max(1, at_once // number))]
        self._log = (folder / "workers.log").open("ab")
        self.alive = [self._start() for _ in range(number)]
        self._peaks: dict[int, float] = {}

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, cwd=self._folder, stdout=self._log, stderr=self._log)

    def kill(self, chance: random.Random) -> None:
        place = chance.randrange(len(self.alive))
        self.alive[place].send_signal(signal.SIGKILL)
        self.alive[place].wait()
        self.alive[place] = self._start()

    def look(self) -> float:
        """Memory of all now, in MB; the most that each had is kept."""
        found = {process.pid: resident(process.pid) for process in self.alive}
        for pid, size in found.items():
            self._peaks[pid] = max(size, self._peaks.get(pid, 0.0))
        return sum(found.values())

    @property
    def peak(self) -> float:
        """Most memory of those that live, each at its own moment."""
        return sum(self._peaks.get(process.pid, 0.0) for process in self.alive)

    def end(self) -> None:
        """End what is left of them, however this ended."""
        for process in self.alive:
            process.kill()

    def stop(self) -> None:
        for process in self.alive:
            process.send_signal(signal.SIGTERM)
        for process in self.alive:
            process.wait()
        self._log.close()


def resident(pid: int) -> float:
    """Memory of a process, in MB; 0 where it has gone or the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


@contextmanager
def project(folder: Path, database: str, url: str) -> Iterator[Fleet]:
    """The fleet of a project with the teams in it; workers started meanwhile have the same settings."""
    (folder / ".signoff").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("report_team.py"), folder / "report_team.py")
    around = {
        "SIGNOFF_HOME": str(folder / ".signoff"),
        "SIGNOFF_DATABASE": database or str(folder / ".signoff" / "signoff.db"),
        "SIGNOFF_BASE_URL": url,
        "SIGNOFF_API_KEY": "none",
        "SIGNOFF_MODEL": "openai:scripted",
        "SIGNOFF_PRICES": json.dumps({"scripted": {"input": 0.15, "output": 0.6}}),
        "SIGNOFF_AGENT_BUDGET": "$1",
        "SIGNOFF_DAY_BUDGET": "$100000",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    before, here = dict(os.environ), Path.cwd()
    os.environ.update(around)
    os.chdir(folder)
    fleet = Fleet.open(load_settings())
    try:
        yield fleet
    finally:
        fleet.ledger.close()
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def done_by(crowd: Crowd, folder: Path, say: Callable[[str], object] = lambda _: None) -> Outcome:
    """Have it done."""
    with ExitStack() as held:
        every = FAULT_EVERY if crowd.faults else 0
        endpoint = held.enter_context(scripted_endpoint(DELAY, limit=RATE, counting="bucket", every=every))
        fleet = held.enter_context(project(folder, crowd.database, endpoint.url))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        workers = Workers(folder, crowd.workers, crowd.at_once)
        held.callback(workers.end)
        while len(fleet.ledger.workers.all()) < crowd.workers:
            time.sleep(_LOOK)
        time.sleep(1.0)
        idle = workers.look()
        submit(fleet, crowd, folder)
        watched = watch(fleet, crowd, workers, say)
        peak = workers.peak
        workers.stop()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return outcome(fleet, crowd, endpoint, folder, watched, (cpu, idle, peak))


def submit(fleet: Fleet, crowd: Crowd, folder: Path) -> None:
    names = [f"a-{number}" for number in range(crowd.jobs)]
    for team, some in ((crowd.team, names[crowd.asked :]), (crowd.asking_team, names[: crowd.asked])):
        loaded = load_team(f"{folder}/report_team.py:{team}", fleet.settings).team
        lines = [json.dumps({"id": name, "goal": "Why does the tide rise and fall?", "name": name}) for name in some]
        read = read_jobs(loaded, lines, fleet.settings)
        assert not read.bad, read.bad[0]
        fleet.submit(read.jobs)


def watch(fleet: Fleet, crowd: Crowd, workers: Workers, say: Callable[[str], object]) -> Counter[str]:
    """See it through: kill workers at random moments, decide what is asked, retry what is parked."""
    chance, told = random.Random(crowd.seed), Counter[str]()
    last = dict[str, int]()
    changed, kill_at = time.monotonic(), 0.0
    while time.monotonic() - changed < PATIENCE:
        time.sleep(_LOOK)
        workers.look()
        for approval in fleet.ledger.approvals.pending():
            if approval.action == "send" and chance.random() < 0.3:  # whoever decides looks now and then
                fleet.ledger.approvals.approve(approval.id, by="ann")
                told["decided"] += 1
        counts = {str(status): number for status, number in fleet.ledger.jobs.counts(Which()).items()}
        if counts.get("parked"):
            told["parked"] += len(fleet.retry(Which(status=["parked"])).at_once)
        over = counts.get("done", 0) + counts.get("waiting", 0)
        if over * (crowd.kills + 1) >= told["kills"] * crowd.jobs and told["kills"] < crowd.kills:
            kill_at = kill_at or time.monotonic() + chance.uniform(0, _MOMENT)
            if time.monotonic() >= kill_at:
                workers.kill(chance)
                told["kills"] += 1
                kill_at = 0.0
        if counts != last:
            say(f"{counts}, {told['kills']} kills")
            last, changed = counts, time.monotonic()
        if counts.get("done", 0) == crowd.jobs:
            break
    return told


def outcome(
    fleet: Fleet,
    crowd: Crowd,
    endpoint: ScriptedEndpoint,
    folder: Path,
    watched: Counter[str],
    took: tuple[float, float, float],
) -> Outcome:
    sent_file, told = folder / "sent.txt", endpoint.counts()
    sent = Counter(line.split()[0] for line in sent_file.read_text().splitlines()) if sent_file.exists() else Counter()
    with fleet.ledger.read() as connection:
        began = connection.execute(select(func.count()).where(audit.c.event == "taken")).scalar_one()
        ends = audit.c.body.contains('"status":"done"')
        ended = connection.execute(select(func.count()).where(audit.c.event == "status", ends)).scalar_one()
        first, last = connection.execute(select(func.min(jobs.c.claimed_at), func.max(jobs.c.ended_at))).one()
    counts = fleet.ledger.jobs.counts(Which())
    cpu, idle, peak = took
    return Outcome(
        done=counts.get("done", 0),
        stands={status: counts[status] for status in STATUSES if status in counts},
        twice=sum(number - 1 for number in sent.values()),
        unsent=sum(f"a-{number}" not in sent for number in range(crowd.jobs)),
        began=began,
        ended=ended,
        calls=told.calls,
        refused=told.refused,
        faults=told.faults,
        wall=(datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() if last else 0.0,
        cpu=cpu,
        running_mb=(peak - idle) / crowd.at_once,
        idle_mb=idle / crowd.workers,
        kilobytes=size_of(fleet) / crowd.jobs / 1000,
        transactions=transactions_of(fleet) / crowd.jobs,
        **{name: watched[name] for name in ("kills", "parked", "decided")},
    )


def size_of(fleet: Fleet) -> int:
    """Bytes of the database."""
    with fleet.ledger.read() as connection:
        if connection.dialect.name == "postgresql":
            return int(connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one())
    file = Path(fleet.settings.database_name)
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))


def transactions_of(fleet: Fleet) -> int:
    with fleet.ledger.read() as connection:
        if connection.dialect.name != "postgresql":
            return 0
        committed = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(committed).scalar_one())


def as_json(found: Any) -> str:
    return json.dumps(found.__dict__)
