"""A worker has a slot of its machine, which outlives its process."""

import subprocess
import sys

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner, working

ELSEWHERE = "host:boot:1:1:1"


def test_each_worker_of_a_machine_has_a_slot_and_the_next_takes_that_of_one_that_has_ended(ledger: Ledger) -> None:
    with working() as first, working() as second:
        one, two = ledger.workers.join(first, places=4), ledger.workers.join(second, places=2)
        assert [slot.slot.rpartition("/")[2] for slot in (one, two)] == ["1", "2"]
        assert ledger.workers.beat(one)
        assert ledger.workers.lost() == []
    with working() as third:
        again = ledger.workers.join(third, places=1)
        assert (again.slot, again.places, again.owner) == (one.slot, 1, third)
        assert not ledger.workers.beat(one)
        assert [slot.slot for slot in ledger.workers.lost()] == [two.slot]


def test_one_elsewhere_is_lost_once_its_lease_is_over_and_does_not_come_back(ledger: Ledger) -> None:
    slot = ledger.workers.join(ELSEWHERE, places=1, seconds=60)
    assert ledger.workers.lost() == []
    ledger.workers.beat(slot, seconds=-1)
    assert [found.slot for found in ledger.workers.lost()] == [slot.slot]
    assert not ledger.workers.beat(slot, seconds=60)
    ledger.workers.leave(slot)
    assert ledger.workers.all() == []


def test_one_of_this_boot_that_lives_without_a_sign_is_overdue_and_never_lost_before_it_has_ended(
    ledger: Ledger,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        place, _, _ = current_owner().rsplit(":", 2)
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as stat:
            started = stat.read().rpartition(")")[2].split()[19]
        slot = ledger.workers.join(f"{place}:{child.pid}:{started}", places=1, seconds=-1)
        assert [found.pid for found in ledger.workers.overdue()] == [child.pid]
        assert ledger.workers.lost() == []
        child.kill()
    assert (ledger.workers.overdue(), [found.slot for found in ledger.workers.lost()]) == ([], [slot.slot])
    assert ledger.workers.overdue() == []
