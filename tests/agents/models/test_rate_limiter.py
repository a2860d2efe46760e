"""One limiter for all who call: nobody is refused, nobody starves, and who has no limit is not held up."""

from __future__ import annotations

import asyncio
import gc
import http.server
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import closing, suppress
from pathlib import Path
from typing import cast

import pytest
import warm
from sqlalchemy import select

from signoff.agents.models.rate_headers import Reading
from signoff.agents.models.rate_limiter import Call, FairQueue, Limiter, RateLimit, Turns, limiter_for
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.rates.pacing import OPEN_PACE, Flow, Places, RateState, take
from signoff.checkpoints.ledger.rates.rate_limits import PrivateRates, Rates
from signoff.checkpoints.ledger.schema import rates
from signoff.errors import ForeignDatabase
from signoff.testing import Allowance, ScriptedServer
from signoff.testing.allowance import Counting, Meter

HUNDRED = RateLimit(requests_per_minute=6000)


async def call(limiter: Limiter, meter: Meter, *, share: str = "", seconds: float = 0.005) -> int:
    """Call an endpoint that counts until it answers; how often it refused."""
    refusals = 0
    while True:
        ticket = await limiter.admit(share=share)
        headers, refusal = meter.admit()
        await asyncio.sleep(seconds)
        if refusal is None:
            ticket.answered(headers, 0)
            return refusals
        refusals += 1
        ticket.limited(None, refusal.headers)


def writes(ledger: Ledger) -> int:
    """How often the rates of the only key were written; a thread of the limiter's does it for the first time soon."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with ledger.read() as connection:
            if (version := connection.execute(select(rates.c.version)).scalar()) is not None:
                return int(version) + 1
        time.sleep(0.01)
    return 0


@pytest.mark.parametrize("counting", ["fixed", "sliding", "bucket"])
def test_a_limit_that_nobody_told_is_kept_and_used(tmp_path: Path, counting: Counting) -> None:
    async def main() -> float:
        limiter, began = limiter_for(ledger, "key"), time.monotonic()
        await asyncio.gather(*(call(limiter, meter, share=str(number % 7)) for number in range(250)))
        return time.monotonic() - began

    ledger, meter = Ledger(tmp_path / "ledger.db"), Meter(Allowance(100, 1.0, counting))
    took = asyncio.run(main())
    assert meter.refused <= 2
    assert took < 2.5 * 1.6
    assert writes(ledger) < 30
    ledger.close()


def test_a_limit_that_was_told_is_kept_from_the_first_call_on() -> None:
    async def main() -> None:
        limiter = Limiter(PrivateRates(), "key", HUNDRED)
        await asyncio.gather(*(call(limiter, meter) for _ in range(150)))

    meter = Meter(Allowance(100, 1.0, "sliding", headers=False))
    asyncio.run(main())
    assert meter.refused <= 8


def test_event_loops_of_one_process_share_a_limit(tmp_path: Path) -> None:
    async def main() -> None:
        await asyncio.gather(*(call(limiter_for(ledger, "key", HUNDRED), meter) for _ in range(50)))

    ledger, meter = Ledger(tmp_path / "ledger.db"), Meter(Allowance(100, 1.0, "sliding", headers=False))
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.refused <= 8
    assert writes(ledger) < 25
    ledger.close()


CALLER = """
import asyncio, http.client, sys
from signoff.agents.models.rate_limiter import limiter_for
from signoff.checkpoints.ledger.ledger import Ledger

BODY = '{"model": "scripted", "messages": [{"role": "user", "content": "?"}]}'

def ask(address):
    connection = http.client.HTTPConnection(address)
    connection.request("POST", "/v1/chat/completions", BODY)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, dict(response.getheaders())

async def call(limiter, address):
    while True:
        ticket = await limiter.admit()
        status, headers = await asyncio.to_thread(ask, address)
        if status == 200:
            return ticket.answered(headers, 0)
        ticket.limited(None, headers)

async def main(database, address, calls):
    ledger = Ledger(database)
    await asyncio.gather(*(call(limiter_for(ledger, "key"), address) for _ in range(int(calls))))
    ledger.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_share_a_limit(database: str) -> None:
    Ledger(database).close()
    with ScriptedServer(lambda _: "Yes.", limit=Allowance(50)) as server:
        address = server.url.removeprefix("http://").removesuffix("/v1")
        command = [sys.executable, "-c", CALLER, database, address, "40"]
        callers = [warm.start(command) for _ in range(3)]
        assert [caller.wait(60) for caller in callers] == [0, 0, 0]
        assert len(server.calls) == 120
        assert (
            server.refused <= 6
        )  # 3 on a machine that does nothing else: what was let go and then held up comes at once


def test_where_no_limit_is_known_one_call_after_the_other_starts_at_once_and_asks_nobody(tmp_path: Path) -> None:
    async def main() -> int:
        limiter = limiter_for(ledger, "key")
        (await limiter.admit()).answered({}, 0)
        known = writes(ledger)
        for _ in range(200):
            (await limiter.admit()).answered({}, 0)
        return writes(ledger) - known

    ledger = Ledger(tmp_path / "ledger.db")
    assert asyncio.run(main()) == 0
    ledger.close()


def test_what_one_process_found_open_is_open_for_the_next(tmp_path: Path) -> None:
    async def go(ledger: Ledger) -> None:
        async def one() -> None:
            (await limiter_for(ledger, "key").admit()).answered({}, 0)

        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(1500))), 60)

    first, second = Ledger(tmp_path / "ledger.db"), Ledger(tmp_path / "ledger.db")
    asyncio.run(go(first))
    found = Rates(first).read("key")[0].pace
    assert found > OPEN_PACE
    asyncio.run(go(second))
    assert Rates(second).read("key")[0].pace >= found
    first.close()
    second.close()


def test_a_run_with_a_thousand_calls_does_not_hold_up_the_only_call_of_another() -> None:
    async def main() -> None:
        limiter = Limiter(PrivateRates(), "key", HUNDRED)
        given: list[str] = []

        async def one(share: str) -> None:
            ticket = await limiter.admit(share=share)
            given.append(share)
            ticket.answered({}, 0)

        crowd = [asyncio.create_task(one("crowd")) for _ in range(1000)]
        while len(given) < 5:
            await asyncio.sleep(0.01)
        before = len(given)
        await one("single")
        assert given.index("single") - before <= 3
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    asyncio.run(main())


def test_shares_take_turns() -> None:
    turns: FairQueue[str] = FairQueue()
    for share in "abc":
        turns.put(share, f"{share}0")
    assert [turns.take() for _ in range(3)] == ["a0", "b0", "c0"]
    for share, item in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]:
        turns.put(share, item)
    assert list(turns) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert turns.remove("b", "b1")
    assert not turns.remove("b", "b1")
    assert [turns.take() for _ in range(len(turns))] == ["a1", "b2", "c1", "a2", "a3"]
    assert not turns


def test_runs_that_have_begun_go_first_so_that_few_are_half_done_and_all_end() -> None:
    runs, calls, in_flight = 240, 5, 4
    turns: FairQueue[int] = FairQueue()
    left = dict.fromkeys(range(runs), calls)
    for run in left:
        turns.put(str(run), run)
    sent, half_done, most, order = deque[int](), set[int](), 0, list[int]()
    while turns or sent:
        if turns:
            sent.append(turns.take())
            half_done.add(sent[-1])
        if len(sent) > in_flight or not turns:  # as short as the rate is: answers come one by one
            run = sent.popleft()
            left[run] -= 1
            if left[run]:
                turns.put(str(run), run)
            else:
                half_done.discard(run)
                order.append(run)
        most = max(most, len(half_done))
    assert most <= 5 * calls + in_flight
    assert len(order) == runs
    assert max(abs(place - run) for place, run in enumerate(order)) <= 5 * calls


def test_a_new_run_is_let_in_however_much_those_that_have_begun_ask() -> None:
    turns: FairQueue[str] = FairQueue()
    for share in ("old", "older", "new"):
        turns.put(share, share)
    given = list[str]()
    for _ in range(8):
        given.append(turns.take())
        if given[-1] != "new":
            turns.put(given[-1], given[-1])
    assert "new" in given[:6]


def test_who_gives_up_waiting_leaves_the_place_to_others() -> None:
    async def main() -> None:
        limiter = Limiter(PrivateRates(), "key", RateLimit(requests_per_minute=1200))
        waiting = [asyncio.create_task(limiter.admit()) for _ in range(100)]
        await waiting[0]
        for task in waiting[1:90]:
            task.cancel()
        began = time.monotonic()
        await asyncio.gather(*waiting[90:])
        assert time.monotonic() - began < 2.5

    asyncio.run(main())


def test_who_is_cancelled_when_the_ticket_just_came_gives_it_back() -> None:
    turns = Turns(HUNDRED, "here")
    call, other = Call("", 0.0), Call("", 0.0)
    turns.queue.put("", call)
    state, given = take(RateState(), 100.0, [0.0], HUNDRED)
    turns.hear(0.0, 0.0, state, 100.0, given)
    assert turns.start(0.0) == [call]
    turns.withdraw(call)
    turns.queue.put("", other)
    assert turns.start(1.0) == [other]
    assert other.turn == given[0]


def test_where_calls_in_flight_are_limited_one_follows_as_another_ends_however_it_ends() -> None:
    turns = Turns(RateLimit(), "here")
    turns.hear(0.0, 0.0, RateState(epoch=3, window=2, places={"here": Places(2, 9, 1000.0)}), 100.0, ())
    for number in range(5):
        turns.queue.put("", Call("", float(number)))
    first, second = turns.start(0.0)
    assert (first.weight, second.weight) == (0, 1)
    assert turns.start(5.0) == []
    turns.answered(first, Reading({}), 0, 5.0)
    assert [call.weight for call in turns.start(5.0)] == [2]  # nobody keeps it: as if its ticket was dropped
    turns.withdraw(second)
    gc.collect()
    assert [call.weight for call in turns.start(6.0)] == [3, 4]


def test_a_ledger_that_cannot_be_asked_for_places_is_not_asked_without_a_pause() -> None:
    turns = Turns(RateLimit(), "here")
    turns.hear(0.0, 0.0, RateState(epoch=3, window=2, places={"here": Places(1, 9, 1000.0)}), 100.0, ())
    first, waiting = Call("", 0.0), Call("", 0.0)
    for call in (first, waiting):
        turns.queue.put("", call)
    assert turns.start(0.0) == [first]
    turns.question(60.0)
    assert turns.unheard(60.0) == [waiting]
    assert turns.ask_at(60.0) > 61.0, "the other is still in flight"


def test_after_a_refusal_nobody_calls_until_the_endpoint_says(tmp_path: Path) -> None:
    async def main() -> None:
        here, elsewhere = limiter_for(first, "key", HUNDRED), limiter_for(second, "key", HUNDRED)
        (await here.admit()).limited(0.4, {})
        began = time.monotonic()
        async with asyncio.timeout(10):
            while Rates(first).read("key")[0].paused_until == 0:
                await asyncio.sleep(0)
        await asyncio.gather(here.admit(), elsewhere.admit())
        assert time.monotonic() - began > 0.3

    first, second = Ledger(tmp_path / "ledger.db"), Ledger(tmp_path / "ledger.db")
    asyncio.run(main())
    first.close()
    second.close()


def test_what_a_refusal_says_of_the_limit_is_not_believed() -> None:
    async def main() -> None:
        store = PrivateRates()
        limiter = Limiter(store, "key")
        headers = {
            "x-ratelimit-limit-requests": "1",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "0.01s",
        }
        (await limiter.admit()).limited(None, headers)
        for _ in range(3):
            (await limiter.admit()).answered({}, 0)
        assert store.read("key")[0].requests.limit is None

    asyncio.run(main())


def test_a_ticket_counts_once() -> None:
    async def main() -> int:
        limiter = Limiter(PrivateRates(), "key", HUNDRED)
        ticket = await limiter.admit()
        for _ in range(5):
            ticket.limited(0.01, {})
        return ticket.call.turn.epoch if ticket.call.turn is not None and limiter.pace < 100 else -1

    store = PrivateRates()
    assert asyncio.run(main()) == 0
    assert store.read("key")[0].epoch == 0


def test_what_was_reserved_settles_to_the_tokens_really_used() -> None:
    async def main(reserved: int, used: int) -> float:
        limiter, began = Limiter(PrivateRates(), "key", RateLimit(tokens_per_minute=60_000)), time.monotonic()
        for _ in range(3):
            (await limiter.admit(reserved)).answered({}, used)
        return time.monotonic() - began

    assert asyncio.run(main(3000, 10)) < 4
    assert asyncio.run(main(10, 900)) > 1.7


def test_one_limiter_serves_a_key(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    assert limiter_for(ledger, "key") is limiter_for(ledger, "key")
    assert limiter_for(ledger, "key") is not limiter_for(ledger, "other")
    assert limiter_for(None, "key") is limiter_for(None, "key")
    ledger.close()


def test_without_its_database_nobody_waits_for_ever(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, whatever its name says" * 40)
    ledger = Ledger(tmp_path / "ledger.db")

    async def main() -> list[type]:
        limiter = limiter_for(ledger, "key", HUNDRED)
        return [type(end) for end in await asyncio.gather(*(limiter.admit() for _ in range(3)), return_exceptions=True)]

    assert asyncio.run(main()) == [ForeignDatabase] * 3
    ledger.close()


class Desk(http.server.ThreadingHTTPServer):
    """An endpoint that takes a moment for each call, and knows how many it had at once."""

    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.counting, self.at_once, self.most, self.answered = threading.Lock(), 0, 0, 0


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        desk = cast(Desk, self.server)
        self.rfile.read(int(self.headers["Content-Length"]))
        with desk.counting:
            desk.at_once += 1
            desk.most = max(desk.most, desk.at_once)
        threading.Event().wait(0.05)
        with desk.counting:
            desk.at_once -= 1
            desk.answered += 1
        with suppress(OSError):  # whoever asked was killed
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.hunt
@pytest.mark.parametrize("processes", [1, 3, 8])
def test_processes_share_a_limit_on_calls_in_flight_even_if_one_is_killed(database: str, processes: int) -> None:
    with closing(Ledger(database)) as ledger, Desk() as desk:
        Rates(ledger).change("key", lambda _, now: (RateState(requests=Flow(next=now), epoch=3, window=6), None))
        serving = threading.Thread(target=desk.serve_forever, daemon=True)
        serving.start()
        command = [sys.executable, "-c", CALLER, database, f"127.0.0.1:{desk.server_port}", str(180 // processes)]
        callers = [warm.start(command) for _ in range(processes)]
        victim = warm.start(command)
        while desk.answered < 30:
            assert any(caller.poll() is None for caller in callers)
            time.sleep(0.01)
        assert desk.most <= 6
        os.kill(victim.pid, signal.SIGKILL)
        assert [caller.wait(120) for caller in callers] == [0] * processes
        victim.wait(10)
        assert desk.most <= 6 + 3, "it was working on calls of the one that was killed"
        assert desk.answered >= 180 // processes * processes
        desk.shutdown()
        state = Rates(ledger).read("key")[0]
        assert state.epoch == 3, "nothing was refused"
