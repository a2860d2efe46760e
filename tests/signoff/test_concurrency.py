"""Work in other threads: what it tells is heard here, and what interrupts this thread ends it there."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from typing import cast

import pytest

from signoff.concurrency import attend, await_result, begin, call, in_thread, is_cancellable, patience, run, stream


class Refused(Exception):
    pass


def interrupt(_part: object) -> None:
    raise KeyboardInterrupt


def test_what_is_told_is_heard_in_order_in_this_thread_and_each_waits_for_the_other() -> None:
    here, heard = threading.current_thread(), list[tuple[int, bool]]()

    def work(tell: Callable[[int], None]) -> str:
        for number in range(3):
            tell(number)
            assert len(heard) == number + 1
        return "done"

    assert attend(work, lambda number: heard.append((number, threading.current_thread() is here))) == "done"
    assert heard == [(0, True), (1, True), (2, True)]


def test_an_error_of_who_hears_is_raised_where_it_was_told() -> None:
    def hear(_part: str) -> None:
        raise Refused

    def work(tell: Callable[[str], None]) -> str:
        with pytest.raises(Refused):
            tell("this")
        return "goes on"

    assert attend(work, hear) == "goes on"


def hangs(ended: threading.Event) -> None:
    """Waits in the loop in the background, and says that it was cancelled."""

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    run(wait())


def blocks(ended: threading.Event) -> None:
    call(ended.wait)


def blocks_in_a_pool(ended: threading.Event) -> None:
    run(in_thread(blocks, ended))


@pytest.mark.parametrize("waits", [hangs, blocks, blocks_in_a_pool])
def test_what_interrupts_this_thread_ends_what_waits_in_the_other(waits: Callable[[threading.Event], None]) -> None:
    let_go, ended = threading.Event(), Future[type[BaseException]]()

    def work(tell: Callable[[str], None]) -> None:
        try:
            tell("begins")
        except KeyboardInterrupt:
            try:
                waits(let_go)  # what begins to wait after the request hears of it, too
            except BaseException as error:
                ended.set_result(type(error))
                raise

    with pytest.raises(KeyboardInterrupt):
        attend(work, interrupt)
    assert ended.result(60) is KeyboardInterrupt
    let_go.set()


def test_work_that_nobody_can_cancel_is_done_in_its_own_thread() -> None:
    assert not is_cancellable()
    assert call(threading.current_thread) is threading.current_thread()


def test_who_is_cancelled_may_still_wait_for_a_result_and_is_waited_for() -> None:
    usual, seen = patience(), Future[float]()
    coming: Future[str] = Future()

    def come() -> None:
        seen.set_result(patience())
        coming.set_result("came")

    def work(tell: Callable[[str], None]) -> None:
        try:
            tell("begins")
        except KeyboardInterrupt:
            begin(come)
            assert await_result(coming, grace=60)

    with pytest.raises(KeyboardInterrupt):
        attend(work, interrupt)
    assert coming.result(60) == "came"
    assert seen.result(60) >= usual
    assert patience() == usual


def test_a_stream_that_nobody_listens_to_any_more_is_ended() -> None:
    ended = threading.Event()

    async def count() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.set()

    parts = stream(count())
    assert next(parts) == 1
    cast("Generator[int, None, None]", parts).close()
    assert ended.wait(60)
