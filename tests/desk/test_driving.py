"""Runs that a server drives in the background."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from signoff.desk.driving import Background
from signoff.fleet import Event


@dataclass
class Fake:
    """A run that does this, and tells of it."""

    does: Callable[[], object]

    async def astream(self) -> AsyncGenerator[Event, None]:
        await asyncio.to_thread(self.does)
        yield Event("stands", status="done")


def test_so_many_are_driven_at_once_and_the_others_in_their_turn() -> None:
    background, going, goes = Background(most=2), threading.Semaphore(0), threading.Event()

    def hold() -> None:
        going.release()
        goes.wait(30)

    for run in "abcd":
        background.drive(run, lambda: Fake(hold))
    assert going.acquire(timeout=30)
    assert going.acquire(timeout=30)
    assert not going.acquire(blocking=False)
    assert sorted(background.alive) == ["a", "b"]
    assert background.is_driven("d")
    goes.set()
    for run in "abcd":
        background.wait(run, 30)
    assert background.alive == []
    assert [going.acquire(timeout=30) for _ in "cd"] == [True, True]


def test_what_is_asked_for_while_a_run_is_driven_drives_it_once_more_and_not_twice_at_once() -> None:
    background, begun, goes, at_once = Background(), threading.Semaphore(0), threading.Semaphore(0), list[int]()
    now = [0]

    def go_on() -> None:
        now[0] += 1
        at_once.append(now[0])
        begun.release()
        goes.acquire(timeout=30)
        now[0] -= 1

    background.drive("a", lambda: Fake(go_on))
    assert begun.acquire(timeout=30)
    for _ in range(3):
        background.drive("a", lambda: Fake(go_on))
    goes.release(4)
    background.wait("a", 30)
    assert at_once == [1, 1]


def test_what_goes_wrong_is_told_until_it_goes_well() -> None:
    background = Background()

    def fail() -> None:
        raise ValueError("no paper")

    background.drive("a", lambda: Fake(fail))
    background.wait("a", 30)
    assert background.said_at_the_end("a") == "no paper"
    background.drive("a", lambda: Fake(lambda: None))
    background.wait("a", 30)
    assert background.said_at_the_end("a") == ""


def test_what_happens_is_heard_and_that_nobody_drives_it_any_more() -> None:
    heard, over = list[str](), threading.Event()

    def hear(run: str, event: Event | None) -> None:
        heard.append(f"{run} {event.kind if event else 'over'}")
        if event is None:
            over.set()

    Background(heard=hear).drive("a", lambda: Fake(lambda: None))
    assert over.wait(30)
    assert heard == ["a stands", "a over"]


def test_a_run_that_is_stopped_is_left_off_and_one_that_waits_for_its_turn_never_begins() -> None:
    background, begun = Background(most=1), threading.Event()

    class Endless:
        async def astream(self) -> AsyncGenerator[Event, None]:
            begun.set()
            await asyncio.Event().wait()
            yield Event("stands")

    background.drive("a", Endless)
    background.drive("b", lambda: Fake(lambda: None))
    assert begun.wait(30)
    background.stop("b")
    assert not background.is_driven("b")
    background.stop("a")
    assert background.alive == []
    background.drive("a", lambda: Fake(lambda: None))
    background.wait("a", 30)
    assert background.said_at_the_end("a") == ""


def test_runs_in_the_background_have_no_thread_each() -> None:
    background, going, goes = Background(most=50), threading.Semaphore(0), asyncio.Event()
    loops = list[asyncio.AbstractEventLoop]()

    class Held:
        async def astream(self) -> AsyncGenerator[Event, None]:
            loops.append(asyncio.get_running_loop())
            going.release()
            await goes.wait()
            yield Event("stands")

    for run in range(50):
        background.drive(str(run), Held)
    assert all(going.acquire(timeout=30) for _ in range(50))
    held = [thread for thread in threading.enumerate() if thread.name.startswith("run ")]
    assert (len(set(loops)), held) == (1, [])
    loops[0].call_soon_threadsafe(goes.set)
    for run in range(50):
        background.wait(str(run), 30)
    assert background.alive == []
