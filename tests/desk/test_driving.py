"""Runs that a server drives in the background."""

import threading

from signoff.desk.driving import Background


def test_so_many_are_driven_at_once_and_the_others_in_their_turn() -> None:
    background, going, goes = Background(most=2), threading.Semaphore(0), threading.Event()

    def hold() -> None:
        going.release()
        goes.wait(30)

    for run in "abcd":
        background.drive(run, hold)
    assert going.acquire(timeout=30)
    assert going.acquire(timeout=30)
    assert not going.acquire(blocking=False)
    assert sorted(background.alive) == ["a", "b"]
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

    background.drive("a", go_on)
    assert begun.acquire(timeout=30)
    for _ in range(3):
        background.drive("a", go_on)
    goes.release(4)
    background.wait("a", 30)
    assert at_once == [1, 1]


def test_what_goes_wrong_is_told_until_it_goes_well() -> None:
    background = Background()

    def fail() -> None:
        raise ValueError("no paper")

    background.drive("a", fail)
    background.wait("a", 30)
    assert background.said_at_the_end("a") == "no paper"
    background.drive("a", lambda: None)
    background.wait("a", 30)
    assert background.said_at_the_end("a") == ""
