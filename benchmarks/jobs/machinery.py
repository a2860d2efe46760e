"""What carries jobs, with next to nothing in them: a worker of signoff, its driver alone, bare DBOS, LangGraph by hand.

Each does `count` jobs in a process of its own, and tells what the process took: two counts tell what one job takes.
    python machinery.py NAME COUNT FOLDER [DATABASE]
"""

import asyncio
import gc
import json
import os
import resource
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing, closing, contextmanager
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, Final

AT_ONCE: Final = 20
CONNECTIONS: Final = 3
"""To PostgreSQL for checkpoints, as a worker has for so many."""
REST: Final = 5.0
STEPS: Final = 8
"""So many steps the smallest team of signoff has: a graph by hand has as many here."""


def prepared(folder: Path, database: str) -> Any:
    """Settings of a project in this folder that has the teams in it."""
    from signoff import Settings

    (folder / ".signoff").mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("report_team.py"), folder / "report_team.py")
    return Settings(home=folder / ".signoff", database=database or str(folder / "jobs.db"), model="offline")


def lines_of(count: int) -> list[str]:
    return [json.dumps({"id": f"a-{n}", "goal": "A parcel", "name": f"a-{n}"}) for n in range(count)]


def worker(count: int, folder: Path, database: str) -> dict[str, float]:
    """A worker of signoff, which does what was submitted."""
    from signoff.checkpoints.jobs import Which
    from signoff.fleet.queue import Fleet, Worker, read_jobs
    from signoff.graphs.teams import load_team

    settings = prepared(folder, database)
    fleet = Fleet.open(settings)
    began = time.process_time()
    if count:
        team = load_team(f"{folder}/report_team.py:parcels", settings).team
        fleet.submit(read_jobs(team, lines_of(count), settings).jobs)
    submitted = time.process_time() - began
    does = Worker(settings, AT_ONCE)
    with rests_then(lambda: fleet.ledger.jobs.counts(Which()).get("done", 0) == count, does.stop) as told:
        does.run()
    fleet.ledger.close()
    return {**told, "submit": submitted}


def driver(count: int, folder: Path, database: str) -> dict[str, float]:
    """The same runs by the driver alone, as `signoff run` has them: what is of the graph, its ledger and effects."""
    from signoff.checkpoints import configured_saver
    from signoff.checkpoints.ledger import RUN_INPUT
    from signoff.fleet.driver import Driver
    from signoff.graphs.teams import load_team

    settings = prepared(folder, database)
    opened = Driver.open(settings)
    team = load_team(f"{folder}/report_team.py:parcels", settings).team

    async def one(number: int, drives: Driver, places: asyncio.Semaphore) -> None:
        name = f"a-{number}"
        async with places:
            given = {**team.options, RUN_INPUT: {"name": name}}
            with drives.ledger.write() as connection:
                told = {"goal": "A parcel", "requested_by": "ann", "dry_run": False, "driver": "local"}
                drives.ledger.runs.add(connection, name, given, team=team.name, **told)
            own = drives.team_of(drives.ledger.runs.get(name), team)
            async with aclosing(drives.astream(name, own)) as events:
                async for _ in events:
                    pass
        assert drives.ledger.runs.get(name).status == "done"

    async def crowd() -> None:
        places = asyncio.Semaphore(AT_ONCE)
        async with AsyncExitStack() as held:
            savers = []
            for _ in range(CONNECTIONS if database else 1):
                savers.append(await held.enter_async_context(configured_saver(settings)))
            drivers = cycle(Driver(opened.ledger, settings, saver) for saver in savers)
            await asyncio.gather(*(one(number, next(drivers), places) for number in range(count)))

    told = measured(lambda: asyncio.run(crowd()))
    opened.ledger.close()
    return told


def dbos(count: int, folder: Path, database: str) -> dict[str, float]:
    """Bare DBOS: a workflow that does nothing, submitted as signoff's are, with the settings of its queue."""
    from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
    from sqlalchemy import create_engine, event

    address = database or f"sqlite:///{folder / 'jobs.db'}"
    how, done, ended = DBOSPortableJSONSerializer(), list[str](), threading.Event()
    if not database:
        with closing(sqlite3.connect(folder / "jobs.db")) as made:
            made.execute("PRAGMA journal_mode=WAL")
    DBOS.migrate(address)
    client = DBOSClient(system_database_url=address, serializer=how, application_name="bare")
    limits: Any = {"worker_concurrency": AT_ONCE, "partition_worker_concurrency": AT_ONCE, "polling_interval_sec": 0.2}
    client.register_queue("bare", **limits)
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    if not database:
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=FULL"))
    named: Any = {"workflow_name": "turn", "queue_name": "bare", "app_version": "1", "application_name": "bare"}
    began = time.process_time()
    with engine.begin() as connection:
        for number in range(count):
            options = {**named, "workflow_id": f"a-{number}", "queue_partition_key": "default"}
            client.enqueue_in_transaction(connection, options, f"a-{number}", 1)  # type: ignore[arg-type]
    submitted = time.process_time() - began
    engine.dispose()
    client.destroy()

    async def turn(name: str, _: int) -> str:
        done.append(name)
        return "done"

    def work() -> None:
        DBOS.workflow(name="turn", max_recovery_attempts=None)(turn)
        told = {"application_version": "1", "executor_id": "one", "serializer": how}
        levels = {"log_level": "ERROR", "console_log_level": "ERROR"}
        DBOS(config={"name": "bare", "system_database_url": address, **told, **levels})  # type: ignore[typeddict-item]
        DBOS.listen_queues(["bare"])
        DBOS.launch()
        ended.wait()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=5)

    def is_done() -> bool:
        left = {"status": ["ENQUEUED", "PENDING"], "limit": 1, "load_input": False}
        return len(done) == count and not DBOS.list_workflows(**left)  # type: ignore[arg-type]

    with rests_then(is_done, ended.set) as told:
        work()
    return {**told, "submit": submitted}


def by_hand(count: int, folder: Path, _: str) -> dict[str, float]:
    """LangGraph, asyncio.gather and AsyncSqliteSaver: a graph of as many steps, which sends once at its end."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    from jobs.scripted_job import in_thread

    class State(TypedDict, total=False):
        goal: str
        draft: str

    def step(number: int) -> Any:
        def work(state: State) -> State:
            if number == STEPS - 1:
                with (folder / "sent.txt").open("a") as file:
                    file.write(f"{state['goal']}\n")
            return {"draft": f"# {state['goal']}"}

        return work

    async def crowd() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "jobs.db")) as saver:
            builder = StateGraph(State)
            names = [START, *(f"step {number}" for number in range(STEPS)), END]
            for number in range(STEPS):
                builder.add_node(f"step {number}", step(number))
            for before, after in pairwise(names):
                builder.add_edge(before, after)
            graph, places = builder.compile(checkpointer=saver), asyncio.Semaphore(AT_ONCE)

            async def one(number: int) -> None:
                async with places:
                    await graph.ainvoke({"goal": f"a-{number}"}, in_thread(f"a-{number}"), durability="sync")

            await asyncio.gather(*(one(number) for number in range(count)))

    return measured(lambda: asyncio.run(crowd()))


@contextmanager
def rests_then(is_done: Callable[[], bool], stop: Callable[[], object]) -> Iterator[dict[str, float]]:
    """What the work of the block took until it is done; then it rests for a while, which tells what a second of that
    takes, and is stopped."""
    told = dict[str, float]()
    wall, cpu = time.perf_counter(), time.process_time()

    def see() -> None:
        while not is_done():
            time.sleep(0.25)
        told.update(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
        began, used = time.perf_counter(), time.process_time()
        time.sleep(REST)
        told["idle"] = (time.process_time() - used) / (time.perf_counter() - began)
        stop()

    seeing = threading.Thread(target=see)
    seeing.start()
    yield told
    seeing.join()


def measured(work: Callable[[], object]) -> dict[str, float]:
    """What it took of this process: CPU and wall in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


CONTESTANTS: Final = {"signoff": worker, "driver": driver, "DBOS": dbos, "by hand": by_hand}


def main(name: str, count: int, folder: Path, database: str = "") -> None:
    gc.set_threshold(50_000, 20, 20)  # as a worker does
    os.chdir(folder)
    told = CONTESTANTS[name](count, folder, database)
    size = 0
    if not database:
        with closing(sqlite3.connect(folder / "jobs.db")) as found:
            found.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = (folder / "jobs.db").stat().st_size
    print(json.dumps({**told, "bytes": size, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
