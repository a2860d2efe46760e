"""Jobs of all processes together never hold more of the machine than it has."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import warm

from signoff.settings import load_settings
from signoff.tools.sandbox.sandbox import Finished, Job, SandboxLimits
from signoff.tools.sandbox.seats import LINES, Seated, Seats

HOLDER = """
import sys, threading, time
from pathlib import Path
from signoff.tools.sandbox.seats import Seats

folder, mb, jobs, rests = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "rests"
seats, most = Seats(folder, 2048, 64.0), []

def hold():
    with seats.seat(mb, 1.0, 30.0) as is_held:
        assert is_held
        most.append(sum(seat.mb for seat in seats.held()))
        print("held", flush=True) if rests else None
        while rests:
            time.sleep(0.05)

threads = [threading.Thread(target=hold) for _ in range(jobs)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(most), max(most))
"""


def start(folder: Path, jobs: int, mb: int = 512, how: str = "") -> warm.WarmProcess:
    words = [sys.executable, "-c", HOLDER, str(folder), str(mb), str(jobs), how]
    return warm.start(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("jobs", [40, pytest.param(200, marks=pytest.mark.hunt)])
def test_jobs_of_several_processes_that_want_512_mb_each_never_hold_more_than_there_is(
    tmp_path: Path, jobs: int
) -> None:
    started = [start(tmp_path, jobs // 4) for _ in range(4)]
    told = [process.communicate()[0].split() for process in started]
    assert sum(int(number) for number, _ in told) == jobs
    assert 512 <= max(int(most) for _, most in told) <= 2048
    assert Seats(tmp_path, 2048, 64.0).held() == []


def test_the_seats_of_a_process_that_was_killed_are_free(tmp_path: Path) -> None:
    seats = Seats(tmp_path, 1024, 4.0)
    with start(tmp_path, 1, 1024, "rests") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert [seat.mb for seat in seats.held()] == [1024]
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        with seats.seat(1024, 1.0, 30.0) as is_held:
            assert is_held


def test_who_came_first_goes_first_and_one_that_wants_more_than_there_is_runs_alone(tmp_path: Path) -> None:
    seats, order, waits = Seats(tmp_path, 1000, 4.0), list[str](), list[threading.Thread]()

    def waiting() -> int:
        return len(LINES[os.getpid(), tmp_path])

    def want(name: str, mb: int) -> None:
        with seats.seat(mb, 1.0, 30.0):
            order.append(f"{name} beside {len(seats.held()) - 1}")

    with seats.seat(600, 1.0, 30.0):
        for number, (name, mb) in enumerate((("big", 5000), ("small", 100)), 1):
            waits.append(threading.Thread(target=want, args=(name, mb)))
            waits[-1].start()
            while waiting() < number:
                time.sleep(0.01)
        assert order == []  # there is room for the small one, but it came later
    for thread in waits:
        thread.join()
    assert order == ["big beside 0", "small beside 0"]


def test_a_job_that_nobody_waits_for_any_more_takes_no_seat(tmp_path: Path) -> None:
    class Runs:
        name = "none"

        def problem(self) -> str:
            return ""

        def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
            return Finished(exit_code=0, stdout="ran", stderr="", ended="exit", seconds=0.0)

    seats, stop = Seats(tmp_path, 1000, 4.0), threading.Event()
    seated = Seated(Runs(), lambda: seats)
    job = Job(command=("true",), workspace=tmp_path, limits=SandboxLimits(memory_mb=700))
    assert seated.run(job, stop=stop).stdout == "ran"
    with seats.seat(700, 1.0, 30.0):
        stop.set()
        assert (seated.run(job, stop=stop).ended, len(seats.held())) == ("stopped", 1)
    assert json.loads((tmp_path / "seats.json").read_text()) == {"held": [], "waiting": []}


def test_there_is_as_much_as_the_settings_say_or_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Seats.of_machine().mb > 0
    monkeypatch.setenv("SIGNOFF_SANDBOX_MEMORY_MB", "1500")
    monkeypatch.setenv("SIGNOFF_SANDBOX_CPUS", "2.5")
    assert load_settings().sandbox_cpus == 2.5
    assert (Seats.of_machine().mb, Seats.of_machine().cpus) == (1500, 2.5)
