"""A worker has a slot of its machine, which outlives its process."""

import subprocess
import sys

from signoff.checkpoints.jobs.workers import SILENT_LOOKS, Silences
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner, working

ELSEWHERE, SWEEPER = "host:boot:1:1:1", "host:boot:1:2:2"


def test_each_worker_of_a_machine_has_a_slot_and_the_next_takes_that_of_one_that_has_ended(ledger: Ledger) -> None:
    with working() as first, working() as second:
        one, two = ledger.workers.join(first, places=4), ledger.workers.join(second, places=2)
        assert [slot.slot.rpartition("/")[2] for slot in (one, two)] == ["1", "2"]
        assert ledger.workers.beat(one)
        assert ledger.workers.lost(SWEEPER) == []
    with working() as third:
        again = ledger.workers.join(third, places=1)
        assert (again.slot, again.places, again.owner) == (one.slot, 1, third)
        assert not ledger.workers.beat(one)
        assert [slot.slot for slot in ledger.workers.lost(SWEEPER)] == [two.slot]


def test_one_elsewhere_is_lost_once_its_lease_is_over_to_one_of_those_who_look(ledger: Ledger) -> None:
    slot = ledger.workers.join(ELSEWHERE, places=1, seconds=60)
    assert ledger.workers.lost(SWEEPER) == []
    ledger.workers.beat(slot, seconds=-1)
    (found,) = ledger.workers.lost(SWEEPER)
    assert (found.slot, found.status) == (slot.slot, "lost")
    assert ledger.workers.lost("host:boot:1:3:3") == []
    assert not ledger.workers.beat(slot)
    (again,) = ledger.workers.all()
    assert again.owner == SWEEPER
    ledger.workers.leave(again)
    assert ledger.workers.all() == []


def test_what_one_who_ended_was_putting_back_another_does(ledger: Ledger) -> None:
    ledger.workers.join(ELSEWHERE, places=1, seconds=-1)
    with working() as first:
        assert len(ledger.workers.lost(first)) == 1
        assert ledger.workers.lost(SWEEPER) == []
    assert len(ledger.workers.lost(SWEEPER)) == 1


def test_a_worker_that_lives_although_it_was_taken_for_lost_is_there_again_once_that_was_put_back(
    ledger: Ledger,
) -> None:
    slot = ledger.workers.join(ELSEWHERE, places=3, seconds=-1)
    (lost,) = ledger.workers.lost(SWEEPER)
    assert not ledger.workers.beat(slot)
    ledger.workers.leave(lost)
    assert ledger.workers.beat(slot)
    (back,) = ledger.workers.all()
    assert (back.slot, back.owner, back.places, back.status) == (slot.slot, ELSEWHERE, 3, "working")


def test_one_of_this_boot_that_lives_without_a_sign_is_overdue_by_looks_and_never_lost_before_it_has_ended(
    ledger: Ledger,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child, working() as own:
        place, _, _ = current_owner().rsplit(":", 2)
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as stat:
            started = stat.read().rpartition(")")[2].split()[19]
        silent = ledger.workers.join(f"{place}:{child.pid}:{started}", places=1, seconds=-1)
        looker = ledger.workers.join(own, places=1, seconds=-1)
        silences = Silences(looker.slot)

        def overdue(*, heard: bool) -> list[int]:
            if heard:
                ledger.workers.beat(looker, seconds=-1)
            return [slot.pid for slot in silences.overdue(ledger.workers.all())]

        for _ in range(3 * SILENT_LOOKS):  # nobody can write: it is not the other who is silent
            assert overdue(heard=False) == []
        for _ in range(SILENT_LOOKS):
            assert overdue(heard=True) == []
        assert overdue(heard=True) == [child.pid]
        ledger.workers.beat(silent, seconds=-1)
        assert overdue(heard=True) == []
        assert ledger.workers.lost(SWEEPER) == []
        child.kill()
    assert [found.slot for found in ledger.workers.lost(SWEEPER)] == [silent.slot, looker.slot]
    assert silences.overdue(ledger.workers.all()) == []
