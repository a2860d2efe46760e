"""Work in other threads: what it tells is heard here, and what interrupts this thread ends it there."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from typing import cast

import pytest

from signoff.concurrency import (
    EndsProgram,
    await_result,
    begin,
    call,
    in_thread,
    in_thread_to_its_end,
    is_cancellable,
    patience,
    run,
    stream,
)


class Refused(Exception):
    pass


def test_what_a_stream_yields_comes_in_order_and_in_this_thread() -> None:
    here = threading.current_thread()

    async def count() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    heard = [(number, threading.current_thread() is here) for number in stream(count())]
    assert heard == [(0, True), (1, True), (2, True)]


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


def interrupt_once(begun: threading.Event, source: AsyncGenerator[str, None]) -> None:
    for _ in stream(source):
        assert begun.wait(60)
        raise KeyboardInterrupt


@pytest.mark.parametrize("waits", [hangs, blocks, blocks_in_a_pool])
def test_what_interrupts_this_thread_ends_what_waits_in_the_other(waits: Callable[[threading.Event], None]) -> None:
    begun, let_go, ended = threading.Event(), threading.Event(), Future[type[BaseException]]()

    def wait() -> None:
        begun.set()
        try:
            waits(let_go)
        except BaseException as error:
            ended.set_result(type(error))
            raise

    async def work() -> AsyncGenerator[str, None]:
        yield "begins"
        await in_thread(wait)

    with pytest.raises(KeyboardInterrupt):
        interrupt_once(begun, work())
    assert ended.result(60) in (KeyboardInterrupt, EndsProgram)
    let_go.set()


def test_work_that_nobody_can_cancel_is_done_in_its_own_thread() -> None:
    assert not is_cancellable()
    assert call(threading.current_thread) is threading.current_thread()


def test_who_is_cancelled_may_still_wait_for_a_result_and_is_waited_for() -> None:
    usual, seen = patience(), Future[float]()
    begun, coming = threading.Event(), Future[str]()

    def come() -> None:
        seen.set_result(patience())
        coming.set_result("came")

    def wait() -> None:
        begun.set()
        try:
            call(threading.Event().wait)
        except KeyboardInterrupt:
            begin(come)
            assert await_result(coming, grace=60)
            raise

    async def work() -> AsyncGenerator[str, None]:
        yield "begins"
        await in_thread_to_its_end(wait)

    with pytest.raises(KeyboardInterrupt):
        interrupt_once(begun, work())
    assert coming.done()  # it was waited for
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


def test_calls_that_are_left_behind_and_never_end_take_no_room_from_others() -> None:
    never, begun = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        begun.release()
        never.wait()

    async def leave_behind(number: int) -> None:
        for _ in range(number):
            calling = asyncio.ensure_future(in_thread(block))
            assert await asyncio.to_thread(begun.acquire, timeout=60)
            calling.cancel()
            await asyncio.wait([calling])

    asyncio.run(leave_behind(40))  # more than there are threads for such calls
    never.set()
