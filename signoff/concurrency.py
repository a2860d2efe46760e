"""Between threads and event loops: the one loop in the background, waiting for it, and threads for code that blocks.

What waits here can be cancelled from another thread (`Cancellation`). Code that blocks cannot: it is left behind, in a
thread that does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Executor, Future, wait
from contextlib import aclosing, contextmanager
from contextvars import ContextVar, copy_context
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")

_LAST_WORDS = 0.7
"""Seconds that somebody who was interrupted waits for what he waited for to end."""
_WIDTH = 32
"""Threads of one pool."""

_depth: ContextVar[int] = ContextVar("signoff_thread_depth", default=0)


class EndsProgram(BaseException):
    """Carries a SystemExit or KeyboardInterrupt out of a thread; raised as it is, it would end the event loop too."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error


@contextmanager
def unpacked() -> Iterator[None]:
    """What was carried out of a thread is raised as it was there."""
    try:
        yield
    except EndsProgram as carried:
        raise carried.error from None


class Cancellation:
    """A request to stop that work hears in whatever thread it goes on: it is handed on with the context."""

    def __init__(self) -> None:
        self.is_requested = False
        self._lock = threading.Lock()
        self._ends: dict[object, Callable[[], object]] = {}

    def request(self) -> None:
        """Cancel what waits now, and all that is going to."""
        with self._lock:
            self.is_requested, ends = True, list(self._ends.values())
        for end in ends:
            end()

    @contextmanager
    def calling(self, end: Callable[[], object]) -> Iterator[None]:
        """Call this, which must not block, once cancellation is requested; at once if it was before."""
        key = object()
        with self._lock:
            self._ends[key] = end
            late = self.is_requested
        if late:
            end()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[key]


_NOBODYS = Cancellation()
"""That of work which nobody can cancel."""
_loops_of_many = WeakSet[asyncio.AbstractEventLoop]()
_cancellation: ContextVar[Cancellation] = ContextVar("signoff_cancellation", default=_NOBODYS)
_unhurried: list[float] = []
"""For how many seconds work under way asks to be waited for, even when it is cancelled."""


def patience() -> float:
    """Seconds that whoever cancels work waits for it to end."""
    return _LAST_WORDS + max((0, *_unhurried))


def is_cancellable() -> bool:
    """Whether somebody can cancel the work that goes on here."""
    return _cancellation.get() is not _NOBODYS


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call code that may block. If the work around is cancelled, KeyboardInterrupt: the code is left behind."""
    if not is_cancellable():
        return function(*args, **kwargs)
    coming = begin(partial(function, *args, **kwargs))
    await_result(coming)
    return coming.result()


def begin(work: Callable[[], T], cancellation: Cancellation | None = None) -> Future[T]:
    """Begin this in a thread that does not keep the process alive, with the caller's context variables.

    With a `cancellation` it is that which cancels it, and no longer whatever cancels the caller.
    """
    coming: Future[T] = Future()
    context = copy_context()
    if cancellation is not None:
        context.run(_cancellation.set, cancellation)
    threading.Thread(target=context.run, args=(_settle, coming, work), name="signoff call", daemon=True).start()
    return coming


def await_result(coming: Future[Any], seconds: float | None = None, *, grace: float = 0) -> bool:
    """Whether this comes within so many seconds.

    If the work around is cancelled, it has the seconds of `grace` left to come; then KeyboardInterrupt.
    """
    woken, cancellation = threading.Event(), _cancellation.get()
    coming.add_done_callback(lambda _: woken.set())
    _unhurried.append(grace)
    try:
        with cancellation.calling(woken.set):
            woken.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        if not coming.done() and cancellation.is_requested and not wait([coming], grace).done:
            raise KeyboardInterrupt
        return coming.done()
    finally:
        _unhurried.remove(grace)


def _settle(coming: Future[T], work: Callable[[], T]) -> None:
    """Do it, and hand over what came of it."""
    try:
        result = work()
    except BaseException as error:  # whatever it is, it belongs to who waits
        coming.set_exception(error)
    else:
        coming.set_result(result)


class _Background:
    """An event loop, and the thread that it runs in."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self.thread = threading.Thread(target=self._serve, name="signoff background", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._over.wait())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)


_opening = threading.Lock()
_open: list[_Background] = []


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Let the loop in the background do this; cancelling the future cancels the work."""
    return asyncio.run_coroutine_threadsafe(work, _shared().loop)


def run(work: Coroutine[Any, Any, T], *, alone: bool = False) -> T:
    """Run this in the background and return what it returns, with the caller's context variables.

    Any thread may wait so, also one where another event loop runs. What interrupts the wait, such as Ctrl-C, cancels
    the work. Called by code that itself runs in the background, or `alone`, it gets a loop of its own: a loop cannot
    wait for itself, and work that blocks its loop should block nobody else's.
    """
    shared = _shared()
    own = _Background() if alone or threading.current_thread() is shared.thread else None
    loop = (own or shared).loop
    done: Future[T] = Future()
    context = copy_context()
    started: list[asyncio.Task[T]] = []

    def start() -> None:
        task = loop.create_task(work, context=context)
        started.append(task)
        task.add_done_callback(lambda ended: _hand_over(ended, done))

    def cancel() -> None:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])

    loop.call_soon_threadsafe(start)
    cancellation = _cancellation.get()
    try:
        with cancellation.calling(cancel):
            return done.result()
    except CancelledError:
        if cancellation.is_requested:
            raise KeyboardInterrupt from None
        raise
    except BaseException:
        if not done.done():
            cancel()
            wait([done], _LAST_WORDS)  # what it used is written down, even if the process ends now
        raise
    finally:
        if own is not None:
            own.stop()


def share_loop() -> None:
    """Say that the work of many goes on in the event loop that runs here: code that blocks must not hold it up."""
    _loops_of_many.add(asyncio.get_running_loop())


def is_background() -> bool:
    """Whether this runs on the shared loop in the background, or on another in which the work of many goes on."""
    return threading.current_thread() is _shared().thread or asyncio.get_running_loop() in _loops_of_many


def _hand_over(task: asyncio.Task[T], done: Future[T]) -> None:
    if done.cancelled():
        return
    if task.cancelled():
        done.cancel()
        done.set_running_or_notify_cancel()  # only then is who waits for it told
    elif (error := task.exception()) is not None:
        done.set_exception(error.error if isinstance(error, EndsProgram) else error)
    else:
        done.set_result(task.result())


def _shared() -> _Background:
    """The background of this process: a forked child has another."""
    with _opening:
        if not _open or _open[0].pid != os.getpid():
            _open[:] = [_Background()]
        return _open[0]


def stream(source: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous generator yields, as it comes, for a caller without a loop; ended when nobody listens on."""
    parts: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    cancellation, context = Cancellation(), copy_context()
    context.run(_cancellation.set, cancellation)

    async def play() -> None:
        async with aclosing(source):
            async for part in source:
                parts.put((part,))

    def work() -> None:
        try:
            run(play())
            parts.put(None)
        except BaseException as error:  # whatever it is, it belongs to who listens
            parts.put(error)

    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    try:
        with _cancellation.get().calling(cancellation.request):
            while (part := parts.get()) is not None:
                if isinstance(part, BaseException):
                    raise part
                yield part[0]
    except GeneratorExit:  # nobody is in a hurry, and who left may want to go on from there at once
        cancellation.request()
        thread.join()
        raise
    finally:
        cancellation.request()
        thread.join(patience())


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread, with the caller's context variables, and wait for it without blocking the event loop.

    The pools are by depth, so that what waits for other such code can never starve it. Whoever is cancelled waits no
    longer, and what waits in that thread is cancelled, too.
    """
    return await _threaded(str(_depth.get()), partial(function, *args, **kwargs), to_its_end=False)


async def in_thread_to_its_end(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same, but whoever is cancelled waits until it has ended: what waits in it is cancelled, and has its grace."""
    return await _threaded(str(_depth.get()), partial(function, *args, **kwargs), to_its_end=True)


async def undisturbed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what is short, such as a question to the ledger, in a thread that nothing long takes up, and to its end."""
    return await _threaded("short", partial(function, *args, **kwargs), to_its_end=True)


async def end_of(work: asyncio.Future[Any]) -> None:
    """Wait until this has ended, however often whoever waits is cancelled: they hear of it then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled


async def _threaded(pool: str, work: Callable[[], T], *, to_its_end: bool) -> T:
    context, cancellation = copy_context(), Cancellation()
    context.run(_depth.set, _depth.get() + 1)
    context.run(_cancellation.set, cancellation)
    threads = _pool(os.getpid(), pool)
    call = threads.submit(context.run, _packing, work)
    ended = asyncio.wrap_future(call)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        cancellation.request()
        if not call.cancel():
            if to_its_end:
                await end_of(ended)
            else:
                threads.leave_behind(call)
        ended.add_done_callback(lambda _: ended.cancelled() or ended.exception())  # nobody will ask for it
        raise


def _packing(work: Callable[[], T]) -> T:
    try:
        return work()
    except (KeyboardInterrupt, SystemExit) as error:
        raise EndsProgram(error) from error


class _Pool(Executor):
    """Threads for code that blocks; unlike those of ThreadPoolExecutor they do not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._name, self._lock = name, threading.Lock()
        self._jobs = SimpleQueue[tuple[Future[Any], Callable[[], Any]]]()
        self._idle, self._threads = threading.Semaphore(0), 0
        self._left = set[Future[Any]]()
        """Calls that were left behind and have not ended."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        coming: Future[T] = Future()
        self._jobs.put((coming, partial(fn, *args, **kwargs)))
        self._begin_thread()
        return coming

    def leave_behind(self, call: Future[Any]) -> None:
        """Nobody waits for this call any more, and it may never end: its thread is none of the pool's from now on."""
        with self._lock:
            if call.done():
                return
            self._left.add(call)
            self._threads -= 1
        if not self._jobs.empty():
            self._begin_thread()

    def _begin_thread(self) -> None:
        """Have one more for what is to be done, unless one is idle or there are as many as may be."""
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._threads < _WIDTH:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name} {self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                coming, job = self._jobs.get_nowait()
            except Empty:
                self._idle.release()
                coming, job = self._jobs.get()
            if coming.set_running_or_notify_cancel():
                _settle(coming, job)
                with self._lock:
                    if coming in self._left:
                        self._left.remove(coming)
                        return  # another has its place
            del coming, job  # an idle thread keeps nothing alive


@cache
def _pool(_pid: int, name: str) -> _Pool:
    """The pool of this process (a forked child has none of its parent's threads) for calls made at this depth."""
    return _Pool(f"signoff {name}")
