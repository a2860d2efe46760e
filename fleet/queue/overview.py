"""How the fleet stands: what needs somebody, whether it moves, what it costs; one for a page, a mail and a script."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from signoff.checkpoints import seconds_since
from signoff.checkpoints.jobs import ENDED, STATUSES, Alert, Figures, Job, JobStatus, Quality, Schedule, Slot, Which
from signoff.checkpoints.ledger import Ledger
from signoff.wording import counted, one_line, span

_HOUR, _DAY = 3_600.0, 86_400.0
TO_DO: Final[tuple[JobStatus, ...]] = ("queued", "running")
"""What there is for workers to do now or later, without a person."""
_MOST: Final = 5
"""Jobs that are named; of more their number is told."""
_LOOKED_AT: Final = 100
"""Jobs that wait for people of which their questions are looked at, where not all are."""


@dataclass(frozen=True)
class Overview:
    """The answers to what people ask of a fleet."""

    counts: dict[JobStatus, int]
    figures: Figures
    parked: tuple[Job, ...]
    """The newest of those that were given up."""
    stalled: tuple[Job, ...]
    """The newest of those that rest because they made no progress."""
    waiting: int
    """Questions that wait for people, of the jobs here."""
    oldest_question: str
    """When the oldest of them was asked; empty if there is none."""
    next_expiry: str
    unknown: int
    """Effects of which nobody knows whether they happened."""
    quality: Quality
    """Of the last day."""
    coming: tuple[Schedule, ...]
    """The schedules that fire next."""
    workers: tuple[Slot, ...]
    alerts: tuple[Alert, ...]
    """What is wrong with the fleet as a whole; none where only the jobs of some are looked at."""
    late: tuple[str, ...]
    """Slots that have given no sign of life for too long."""
    is_brief: bool = False
    """Whether what was spent is that of the last day, and the questions are of the jobs that were queued first."""
    are_all_asked: bool = True
    """Whether these are all the questions."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        return sum(self.counts.get(status, 0) for status in ENDED)

    @property
    def alive(self) -> list[Slot]:
        """Workers that have given a sign of life."""
        return [slot for slot in self.workers if slot.slot not in self.late]

    @property
    def left(self) -> int:
        """How many there are for workers to do now or later, without a person."""
        return sum(self.counts.get(status, 0) for status in TO_DO)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values; times are UTC."""
        found = asdict(self)
        parked, stalled = map(_named, (self.parked, self.stalled))
        del found["is_brief"], found["are_all_asked"]
        told = ("slot", "places", "status", "started_at", "beat_at")
        workers = [{name: getattr(slot, name) for name in told} | {"pid": slot.pid} for slot in self.workers]
        every = {status: self.counts.get(status, 0) for status in STATUSES}
        return {**found, "counts": every, "total": self.total, "parked": parked, "stalled": stalled, "workers": workers}

    def lines(self) -> list[str]:
        """It in words, in the order of its parts."""
        return [line for _, lines in self.parts for line in lines]

    @property
    def parts(self) -> tuple[tuple[str, list[str]], ...]:
        """What people ask of a fleet, in the order in which they do, each with its answer in words."""
        return (
            ("Needs you", self._needs()),
            ("Is it moving?", self._moves()),
            ("What does it cost?", self._costs()),
            ("Is it good?", self._quality()),
            ("What will happen?", self._coming()),
        )

    def as_markdown(self) -> str:
        """It as a Markdown text, for a mail or a page."""
        rows = [f"| {status} | {self.counts[status]:,} |" for status in STATUSES if status in self.counts]
        table = ["| jobs | |", "| --- | ---: |", *rows, f"| all | {self.total:,} |"]
        texts = [f"## {title}\n\n" + "\n".join(f"- {_plain(line)}" for line in lines) for title, lines in self.parts]
        return "\n\n".join(["# Fleet", "\n".join(table), *texts]) + "\n"

    def _needs(self) -> list[str]:
        found = [f"Alert: {alert.says}" for alert in self.alerts]
        if self.waiting:
            expiry = f", the next expires in {span(-seconds_since(self.next_expiry))}" if self.next_expiry else ""
            blocked = counted(self.counts.get("waiting", 0), "job")
            least, plus = ("", "") if self.are_all_asked else ("at least ", " or more")
            asked = f"the oldest for {least}{span(seconds_since(self.oldest_question))}"
            told = counted(self.waiting, "question")
            wait = "waits" if self.waiting == 1 and not plus else "wait"
            stand = "waits" if self.counts.get("waiting", 0) == 1 else "wait"
            found.append(f"{told}{plus} {wait} for people, {asked}{expiry}; {blocked} {stand}.")
        if self.unknown:
            found.append(f"{counted(self.unknown, 'effect')} of which nobody knows whether they happened.")
        found += [f"Held: {job.name}: {one_line(job.error)}" for job in self.stalled]
        number = self.counts.get("parked", 0)
        found += [f"Parked: {job.name}: {one_line(job.error)}" for job in self.parked]
        if number > len(self.parked):
            found.append(f"{number - len(self.parked):,} more are parked.")
        return found or ["No job waits for anybody. What other runs ask stands in the inbox: `signoff approvals`."]

    def _moves(self) -> list[str]:
        stands = ", ".join(f"{self.counts[status]:,} {status}" for status in STATUSES if status in self.counts)
        found = [f"{self.total:,} jobs: {stands}." if self.total else "No jobs yet."]
        hour, day = self.figures.ended_hour, self.figures.ended_day
        if self.total:
            found.append(f"Ended: {hour:,} in the last hour, {day:,} in the last day.")
        if self.figures.oldest_queued:
            found.append(f"The oldest has been queued for {span(seconds_since(self.figures.oldest_queued))}.")
        if not self.alive and self.left:
            found.append("No worker is alive: start one with `signoff fleet work`.")
        elif self.alive:
            places = sum(slot.places for slot in self.alive)
            found.append(f"{counted(len(self.alive), 'worker')} alive, with {counted(places, 'place')} in all.")
        found += [f"Worker {slot} gives no sign of life." for slot in self.late]
        return found

    def _costs(self) -> list[str]:
        spent, calls = self.figures.usd, self.figures.calls
        ended, when = (self.figures.ended_day, " in the last day") if self.is_brief else (self.ended, "")
        if not calls:
            return [f"No model was called{when}."]
        each = f"; ${spent / ended:.4f} for a job that has ended" if ended else ""
        return [f"${spent:.2f} in {counted(calls, 'call')} of models{when}{each}."]

    def _quality(self) -> list[str]:
        found, quality = list[str](), self.quality
        if quality.decided:
            told = ", ".join(f"{number:,} {word}" for word, number in quality.decided.items())
            found.append(f"Decided in the last day: {told}.")
        found += [f"Rejected: {one_line(reason)}" for reason in quality.reasons]
        if quality.failed_calls:
            found.append(f"{counted(quality.failed_calls, 'call')} of models went wrong in the last day.")
        return found or ["Nothing was decided in the last day, and no call went wrong."]

    def _coming(self) -> list[str]:
        found = [
            f"{one.name} in {span(-seconds_since(one.next_at))}: {one.team}, {one_line(one.goal)}"
            for one in self.coming
        ]
        return found or ["No schedule fires."]


def overview_of(ledger: Ledger, which: Which, *, is_brief: bool = False) -> Overview:
    """How these jobs stand now, and the workers; brief: as it can be asked for again and again, however many wait."""
    figures = ledger.jobs.figures(which, hour=_HOUR, day=_DAY, spent=_DAY if is_brief else 0.0)
    asked = ledger.jobs.questions(which, _LOOKED_AT if is_brief else 0)
    parked, stalled = ledger.jobs.stuck(which, _MOST)
    workers, quality = ledger.workers.all(), ledger.jobs.quality(which, seconds=_DAY)
    return Overview(
        counts=ledger.jobs.counts(which),
        figures=figures,
        parked=parked,
        stalled=stalled,
        waiting=asked.open,
        oldest_question=asked.oldest,
        next_expiry=asked.next_expiry,
        unknown=asked.unknown,
        quality=quality,
        coming=tuple(_next(ledger, which)),
        workers=tuple(workers),
        alerts=ledger.alerts.look() if which == Which() else (),
        late=tuple(slot.slot for slot in workers if not is_alive(slot)),
        is_brief=is_brief,
        are_all_asked=asked.are_all,
    )


def _next(ledger: Ledger, which: Which) -> list[Schedule]:
    """Of the schedules that are not paused those that fire first."""
    meant = [one for one in ledger.schedules.all() if not one.paused_by and which.tenant in ("", one.tenant)]
    meant = [one for one in meant if which.team in ("", one.team)]
    return sorted(meant, key=lambda one: (one.next_at, one.name))[:_MOST]


def is_alive(slot: Slot) -> bool:
    """Whether this worker has given a sign of life, and has not been found gone."""
    return slot.status != "lost" and seconds_since(slot.until) <= 0


def _named(some: Iterable[Job]) -> list[dict[str, str]]:
    return [{"id": job.id, "tenant": job.tenant, "run": job.run_id, "error": job.error} for job in some]


def _plain(line: str) -> str:
    """A line in which nothing is Markdown but what we wrote."""
    return line.replace("<", "&lt;").replace("|", "\\|")
