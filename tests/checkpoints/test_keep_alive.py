import os
import threading
import time
from collections.abc import Callable

import pytest

from signoff.checkpoints.process_identity import KeepAlive
from signoff.errors import DatabaseUnusable


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never held")


class Book:
    """Notes what is renewed, and fails as often as it is told."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.renewed: list[tuple[str, ...]] = []
        self.failures, self.error = failures, error or DatabaseUnusable("x.db", "locked")

    def renew(self, *keys: str) -> None:
        self.renewed.append(keys)
        if len(self.renewed) <= self.failures:
            raise self.error


def test_what_was_taken_now_is_renewed_only_when_it_is_due() -> None:
    keep_alive, book, begun = KeepAlive(seconds=0.2), Book(), time.monotonic()
    with keep_alive.renewing(book.renew, "a"):
        wait_for(lambda: bool(book.renewed))
        assert time.monotonic() - begun >= 0.2
    assert book.renewed[0] == ("a",)


def test_what_is_left_before_it_is_due_is_never_renewed() -> None:
    keep_alive, book = KeepAlive(seconds=0.05), Book()
    with keep_alive.renewing(book.renew, "a"):
        pass
    wait_for(lambda: not keep_alive.is_running)
    assert book.renewed == []


def test_the_thread_ends_with_the_last_that_works_and_nothing_is_renewed_too_soon_again() -> None:
    keep_alive, book = KeepAlive(seconds=60), Book()
    for _ in range(3):
        with keep_alive.renewing(book.renew, "a", soon=True), keep_alive.renewing(book.renew, "b"):
            pass
        wait_for(lambda: not keep_alive.is_running)
    assert book.renewed == [("a",)]


def test_many_that_begin_soon_after_each_other_are_renewed_in_one_write_though_they_have_ended() -> None:
    keep_alive, book = KeepAlive(seconds=60), Book()
    for number in range(100):
        with keep_alive.renewing(book.renew, str(number), soon=True):
            pass
    wait_for(lambda: len({key for keys in book.renewed for key in keys}) == 100)
    assert len(book.renewed) < 20


def test_what_is_due_together_is_renewed_in_one_write_for_each_way() -> None:
    keep_alive, beats, claims = KeepAlive(seconds=0.05), Book(), Book()
    with (
        keep_alive.renewing(beats.renew, "a"),
        keep_alive.renewing(beats.renew, "b"),
        keep_alive.renewing(claims.renew, "c"),
    ):
        wait_for(lambda: bool(beats.renewed) and bool(claims.renewed))
    assert {key for keys in beats.renewed for key in keys} == {"a", "b"}
    assert {key for keys in claims.renewed for key in keys} == {"c"}


def test_a_renewal_that_the_database_refuses_is_tried_again_and_keeps_nobody_else_waiting() -> None:
    keep_alive, locked, free = KeepAlive(seconds=0.01), Book(failures=3), Book()
    with keep_alive.renewing(locked.renew, "a"), keep_alive.renewing(free.renew, "b"):
        wait_for(lambda: len(locked.renewed) > 4 and len(free.renewed) > 4)


def test_what_two_work_on_is_renewed_until_both_have_left() -> None:
    keep_alive, book = KeepAlive(seconds=0.01), Book()
    with keep_alive.renewing(book.renew, "a"):
        with keep_alive.renewing(book.renew, "a"):
            pass
        before = len(book.renewed)
        wait_for(lambda: len(book.renewed) > before + 2)
    wait_for(lambda: not keep_alive.is_running)


def test_a_forked_child_renews_its_own_and_nothing_of_its_parent() -> None:
    keep_alive, book = KeepAlive(seconds=0.01), Book()
    with keep_alive.renewing(book.renew, "a"):
        wait_for(lambda: bool(book.renewed))
        pid = os.fork()
        if not pid:
            book.renewed.clear()
            with keep_alive.renewing(book.renew, "b"):
                wait_for(lambda: len(book.renewed) > 2)
            os._exit(0 if set(book.renewed) == {("b",)} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_error_that_nobody_knows_of_is_told_and_ends_nobodys_renewals(caplog: pytest.LogCaptureFixture) -> None:
    keep_alive, odd, free = KeepAlive(seconds=0.01), Book(failures=2, error=ZeroDivisionError("odd")), Book()
    with keep_alive.renewing(odd.renew, "a"), keep_alive.renewing(free.renew, "b"):
        wait_for(lambda: len(odd.renewed) > 3 and len(free.renewed) > 3)
    assert "ZeroDivisionError: odd" in caplog.text
