"""The figures of a fleet, as a monitor reads them."""

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from sqlalchemy import text as sql

from signoff.checkpoints.jobs import NewJob, Which
from signoff.fleet.queue import Fleet, metrics_text, overview_of, serve
from signoff.settings import load_settings

LINE = re.compile(r'(?:# (?:TYPE|HELP) .+|[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})? [0-9.e+-]+|# EOF)')


@pytest.fixture
def fleet(home: object) -> Iterator[Fleet]:
    opened = Fleet.open(load_settings())
    yield opened
    opened.ledger.close()


def job(number: int, tenant: str = "acme") -> NewJob:
    return NewJob(id=f"a-{number}", team="office", goal="pay", options={}, tenant=tenant)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_each_tenants_jobs_are_counted_as_they_stand(fleet: Fleet) -> None:
    fleet.submit([job(1), job(2), job(3, "bolt")])
    fleet.cancel(Which(ids=["a-2"]))
    text = metrics_text(fleet.ledger)
    assert 'signoff_jobs{tenant="acme",status="queued"} 1.0' in text
    assert 'signoff_jobs{tenant="acme",status="cancelled"} 1.0' in text
    assert 'signoff_jobs{tenant="bolt",status="queued"} 1.0' in text
    assert "signoff_model_calls_total 0.0" in text
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text
    assert text.endswith("# EOF\n")


def test_the_newest_of_those_that_were_given_up_or_rest_after_an_error_are_named(fleet: Fleet) -> None:
    fleet.submit([job(number) for number in range(8)])
    with fleet.ledger.write() as connection:
        connection.execute(sql("UPDATE jobs SET submitted_at = '2026-01-31T09:3' || substr(id, 3)"))
        connection.execute(sql("UPDATE jobs SET status = 'parked' WHERE id <> 'a-7'"))
    found = overview_of(fleet.ledger, Which())
    assert [one.id for one in found.parked] == ["a-2", "a-3", "a-4", "a-5", "a-6"]
    assert "2 more are parked." in found.lines()
    with fleet.ledger.write() as connection:
        connection.execute(sql("UPDATE jobs SET status = 'held', error = CASE WHEN id < 'a-3' THEN 'late' ELSE '' END"))
    assert [one.id for one in overview_of(fleet.ledger, Which()).stalled] == ["a-0", "a-1", "a-2"]


def test_a_monitor_is_told_the_figures_and_that_no_worker_is_alive_for_what_is_to_be_done(fleet: Fleet) -> None:
    fleet.submit([job(1)])
    with serve(fleet.ledger, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert get(server.server_port, "/health") == (503, "1 job to do, and no worker is alive.\n")
        slot = fleet.ledger.workers.join("host:boot:1:1:1", places=3)
        assert get(server.server_port, "/health") == (200, "ok\n")
        code, text = get(server.server_port, "/metrics")
        assert (code, "signoff_worker_places 3.0" in text) == (200, True)
        fleet.ledger.workers.leave(slot)
        assert get(server.server_port, "/")[0] == 404
        server.shutdown()
