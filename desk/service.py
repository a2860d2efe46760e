"""Serving runs: the page, MCP, AG-UI, A2A and plain HTTP all start, follow, answer and cancel them by `Service`."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from signoff.agents import budgets_of
from signoff.checkpoints import digest, is_same
from signoff.checkpoints.errors import UnknownApproval, UnknownRun
from signoff.checkpoints.ledger import EVERYBODY, RUN_CLIENT, RUN_TENANT, Approval, Ledger, Person, RunRecord
from signoff.concurrency import in_thread, undisturbed
from signoff.desk.deciding import Verdict, is_theirs, may_not, record_verdict
from signoff.desk.driving import BUSY, MOST_AT_ONCE, Background
from signoff.desk.errors import RunUnderWay
from signoff.desk.following import Changes, Feeds, Told
from signoff.desk.offers import Offer, TeamCache
from signoff.desk.replies import Finished, Standing, asked_of, finished_of, standing_of
from signoff.desk.team_options import is_known
from signoff.fleet import Event, Run, cancel_run, check_whole, fork_run, standings
from signoff.fleet.errors import RunElsewhere, RunExists
from signoff.graphs import Team
from signoff.graphs.approval import Decision, read_answer
from signoff.graphs.errors import BadAnswer, BadInput
from signoff.settings import Settings

ENDED: Final = ("done", "stopped")
"""A run that failed can go on: it may have been cut off at the end of the process that drove it."""
_BEATS_EVERY: Final = 15.0
"""Seconds after which whoever follows is told that there is nothing new."""
_MOST_OF_AN_ID: Final = 1_000
"""Characters of an id that a client chooses, which is kept with the run."""
_SEEN: Final = 12
"""Digits of the digest of what was seen that an approval names."""
_log = logging.getLogger(__name__)

Given = str | Mapping[str, Any] | BaseModel
Answered = tuple[str, Any, str]
"""The id of a question, the answer, and the digest of what was seen."""


class Service:
    """The runs of one ledger as clients have them: whoever asks is known, and sees what is theirs."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        offers: Sequence[Offer] = (),
        *,
        page: str = "",
        most: int = MOST_AT_ONCE,
    ) -> None:
        self.settings, self.ledger, self.offers, self.page = settings, ledger, tuple(offers), page
        self.feeds, self.teams = Feeds(), TeamCache(settings, ledger)
        self.background = Background(most, self._hear)
        self.changes = Changes(ledger, told=self.feeds.wake)
        self.beats_every = _BEATS_EVERY
        self._tried: dict[str, str] = {}

    def offer(self, slug: str) -> Offer | None:
        """The team of this name that is served."""
        return next((one for one in self.offers if one.slug == slug), None)

    def open_run(self, run_id: str) -> Run:
        """The run with its team, to decide or go on with it."""
        return self.teams.open(self.ledger.runs.get(run_id), self.offers)

    def begin(self, team: Team, given: Given, person: Person, *, run_id: str = "", **how: Any) -> Run:
        """Begin a run in somebody's name, of their tenant, and drive it in the background; `how`: see `Run.start`."""
        settings, whose = _settings_of(self.settings, person), {RUN_TENANT: person.tenant} if person.tenant else {}
        budget = team.run_budget or budgets_of(settings)["run"]
        team = replace(team, ledger=self.ledger, options={**team.options, **whose})
        run = Run.start(team, given, settings=settings, drive=False, budget=budget, run_id=run_id, **how)
        self.background.drive(run.id, lambda: run)
        return run

    def fork(self, record: RunRecord, at: str, person: Person, *, dry_run: bool = False, run_id: str = "") -> str:
        """Begin a run as this one stood at a moment of it, in somebody's name; it is driven in the background."""
        team, settings = forkable(self, record), _settings_of(self.settings, person)
        new = fork_run(self.ledger, record.id, at, team=team, settings=settings, dry_run=dry_run, new=run_id)
        self.background.drive(new, partial(self.open_run, new))
        return new

    def end(self, record: RunRecord, person: Person) -> None:
        """End a run, whoever drives it, as `signoff cancel` does; here it is left off with, amid a call too."""
        self.background.stop(record.id)
        cancel_run(self.ledger, record.id, by=person.name or self.settings.user_name)
        self.feeds.of(record.id).wake()

    async def start(self, offer: Offer, given: Given, person: Person, *, thread: str = "", said: str = "") -> RunRecord:
        """Give a team something to do: a new run of this conversation, or the one that this very message began.

        RunUnderWay if one of its runs goes on or waits; BadInput if what is given does not fit.
        """
        return await undisturbed(self._start, offer, given, person, thread or secrets.token_hex(8), said)

    async def thread(self, offer: Offer, thread: str, person: Person) -> list[RunRecord]:
        """The runs of a conversation, oldest first."""
        return await undisturbed(lambda: _thread(self.ledger, offer, thread, person.tenant))

    async def newest(self, offer: Offer, person: Person, most: int) -> list[RunRecord]:
        """The newest runs of a team that are theirs."""
        return await undisturbed(_newest, self.ledger, offer, person, most)

    async def find(self, run_id: str, person: Person, offer: Offer | None = None) -> RunRecord:
        """A run that is theirs; of others it is as if there were none: UnknownRun."""
        return await undisturbed(self._find, run_id, person, offer)

    async def standing(self, run_id: str, person: Person, offer: Offer | None = None) -> Standing:
        """How a run stands, for those who cannot decide what it asks."""
        return await undisturbed(self._standing, run_id, person, offer)

    async def asked(self, run_id: str, person: Person, offer: Offer | None = None) -> list[dict[str, Any]]:
        """All that a run asks, for people who decide it."""
        return await undisturbed(self._asked, run_id, person, offer)

    async def result(self, run_id: str, person: Person, offer: Offer | None = None) -> Finished:
        """What a run has made and done; nothing before it is done."""
        return await undisturbed(lambda: finished_of(self._open(self._find(run_id, person, offer))))

    async def answer(
        self,
        approval_id: str,
        answer: Any,
        person: Person,
        *,
        seen: str = "",
        offer: Offer | None = None,
        run: str = "",
    ) -> Approval:
        """Decide what is asked, in any shape that known clients send, and go on with the run.

        `seen` is the digest of the arguments that were shown, or its beginning, which an approval must name; `run` is
        the run that it must be of. Refusals are as `record_verdict` has them; BadAnswer for what is not surely a
        decision.
        """
        (now,) = await self.answer_all([(approval_id, answer, seen)], person, offer=offer, run=run)
        return now

    async def answer_all(
        self, answers: Sequence[Answered], person: Person, *, offer: Offer | None = None, run: str = ""
    ) -> list[Approval]:
        """The same of several questions: nothing is decided unless each is surely a decision, and theirs to make."""
        return await undisturbed(_answer_all, self, answers, person, offer, run)

    async def resume(self, run_id: str, person: Person, offer: Offer | None = None) -> None:
        """Go on with a run that was cut off, or was decided without going on. It decides nothing."""
        record = await self.find(run_id, person, offer)
        if record.status not in ENDED and not self.background.is_driven(record.id):
            self.background.drive(record.id, partial(self.open_run, record.id))

    async def cancel(self, run_id: str, person: Person, offer: Offer | None = None) -> Standing:
        """End a run: what it asks is closed as refused, and nothing more is called; others who drive it leave off."""
        await in_thread(self._cancel, run_id, person, offer)
        return await self.standing(run_id, person, offer)

    async def follow(
        self, run_id: str, person: Person, *, after: str = "", through: bool = False, offer: Offer | None = None
    ) -> AsyncGenerator[Told | None, None]:
        """What happens in a run, until it stands: it waits for a person, or has ended.

        None now and then, whatever happens: whoever sends it on asks then whether it is still for those who listen.
        It begins after the event of this id, if that is known, else with all that is kept. With `through` it goes on
        while people decide, until the run has ended. What was cut off, or decided meanwhile, is driven on.
        """
        run_id, last = (await self.find(run_id, person, offer)).root, None
        self.changes.listeners += 1
        self.changes.look()
        try:
            with self.feeds.listening(run_id) as (feed, listener):
                number, beat = self.feeds.number_of(after), time.monotonic() + self.beats_every
                while True:
                    if time.monotonic() >= beat:
                        yield None
                        beat = time.monotonic() + self.beats_every
                    for told in feed.since(number):
                        number = told[0]
                        yield Told(self.feeds.id_of(number), told[1])
                    stands = None if self.background.is_driven(run_id) else await undisturbed(self._stands, run_id)
                    if stands is not None and stands != last and not feed.since(number):
                        last = stands
                        yield Told(self.feeds.id_of(number), stands)
                        if not through or stands.status != "waiting":
                            return
                    elif feed.since(number):
                        continue
                    await listener.wait(beat - time.monotonic())
        finally:
            self.changes.listeners -= 1

    async def recover(self) -> None:
        """Go on with what clients began here, and the end of a process cut off or people decided meanwhile."""
        await undisturbed(_recover, self)

    def go_on(self, approval: Approval) -> str:
        """Have its run driven on, if that can be done here; what becomes of it, in a sentence."""
        record = self.ledger.runs.get(approval.root)
        if record.driver != "local":
            return "The server or program that drives the run finds the decision."
        if self.ledger.jobs.is_at_work(record.id):
            return "A worker goes on with the run."
        if not self._can_open(record):
            return "The run is driven by your own program: there, Run.open(…).resume() finds the decision."
        self.background.drive(record.id, partial(self.open_run, record.id))
        return "The run goes on."

    def _can_open(self, record: RunRecord) -> bool:
        is_served = any(offer.has(record) for offer in self.offers)
        return (is_served or is_known(record)) and not isinstance(self.teams.of(record, self.offers), str)

    def _hear(self, run_id: str, event: Event | None) -> None:
        feed = self.feeds.of(run_id)
        if event is None:
            feed.wake()
        elif event.kind != "stands":  # the ledger tells that
            feed.add(event)

    def _start(self, offer: Offer, given: Given, person: Person, thread: str, said: str) -> RunRecord:
        tenant, team = person.tenant, offer.make(self.settings)
        for name, said_so in (("conversation", thread), ("message", said)):
            if len(said_so) > _MOST_OF_AN_ID:
                raise BadInput(team.name, name, f"has an id of more than {_MOST_OF_AN_ID} characters")
        given = _checked(given, team)
        team = replace(team, options={**team.options, RUN_CLIENT: {"thread": thread, "said": said}})
        while True:
            known = _thread(self.ledger, offer, thread, tenant)
            for one in known:
                if said and one.options[RUN_CLIENT].get("said") == said:
                    return one
                if one.status in ("running", "waiting"):
                    raise RunUnderWay(one.id, one.status)
            try:
                return self.begin(team, given, person, run_id=_run_id(offer, thread, tenant, len(known))).record
            except RunExists as error:  # another process was faster
                _log.info("%s", error)

    def _find(self, run_id: str, person: Person, offer: Offer | None) -> RunRecord:
        record = self.ledger.runs.get(run_id)
        if record.id != run_id or not is_theirs(self.ledger, person, record) or (offer and not offer.has(record)):
            raise UnknownRun(run_id)
        return record

    def _open(self, record: RunRecord) -> Run:
        return self.teams.open(record, self.offers)

    def _standing(self, run_id: str, person: Person, offer: Offer | None) -> Standing:
        record = self._find(run_id, person, offer)
        (stands,) = standings(self.ledger, [record])
        return standing_of(self._open(record), stands, self.background.said_at_the_end(record.id), self.page)

    def _asked(self, run_id: str, person: Person, offer: Offer | None) -> list[dict[str, Any]]:
        record = self._find(run_id, person, offer)
        pending = self.ledger.approvals.pending(record.id)
        return [asked_of(one, self.teams.action_of(one, record, self.offers)[0], self.page) for one in pending]

    def _cancel(self, run_id: str, person: Person, offer: Offer | None) -> None:
        record = self._find(run_id, person, offer)
        if record.path or record.driver != "local":
            raise RunElsewhere(record.id)
        if record.status not in ENDED:
            self.end(record, person)

    def _stands(self, run_id: str) -> Event | None:
        """How a run stands; None as long as somebody is at work on it, or is to be."""
        record, asked = self.ledger.runs.get(run_id), tuple(self.ledger.approvals.pending(run_id))
        said = self.background.said_at_the_end(run_id)
        if record.status == "running" or (record.status == "waiting" and not asked):
            if record.owner or self.ledger.jobs.is_at_work(run_id):
                return None
            if self._tried.get(run_id) != record.updated_at or said == BUSY:
                self._tried[run_id] = record.updated_at  # once: what does not move then is told as it stands
                if record.driver == "local" and self._can_open(record):
                    self.background.drive(run_id, partial(self.open_run, run_id))
                    return None
        return Event("stands", text=record.note or said, status=record.status, approvals=asked)


def forkable(service: Service, record: RunRecord) -> Team:
    """The team of a run of which a fork can begin here; ChildRun, RunElsewhere or BadAnswer say why none can."""
    check_whole(record)
    if record.driver != "local":
        raise RunElsewhere(record.id)
    if isinstance(team := service.teams.of(record, service.offers), str):
        raise BadAnswer(f"Run {record.id!r} cannot be forked here. {team}")
    return service.open_run(record.id).team


def _settings_of(settings: Settings, person: Person) -> Settings:
    """The settings for what somebody begins in their own name."""
    return settings.model_copy(update={"user": person.name or settings.user})


def _answer_all(
    service: Service, answers: Sequence[Answered], person: Person, offer: Offer | None, run: str
) -> list[Approval]:
    read = [_read(service, *one, person, offer, run) for one in answers]
    # Whom the ledger refuses, and writes that down, has decided none of the others.
    made = {one.id: decide() for one, decide in sorted(read, key=lambda each: not may_not(each[0], person))}
    return [made[one.id] for one, _ in read]


def _read(
    service: Service, approval_id: str, answer: Any, seen: str, person: Person, offer: Offer | None, run: str
) -> tuple[Approval, Callable[[], Approval]]:
    """What is asked, and what writes the decision in an answer down."""
    approval = service.ledger.approvals.get(approval_id)
    record = service.ledger.runs.get(approval.root)
    is_seen = is_theirs(service.ledger, person, record) and (offer is None or offer.has(record))
    if approval.id != approval_id or not is_seen or (run and run != record.id):
        raise UnknownApproval(approval_id)
    if approval.status != "pending":
        raise approval.already_decided()
    action, why = service.teams.action_of(approval, record, service.offers)
    if action is None:
        raise BadAnswer(f"{why} Decide it there, or at the desk.")
    if isinstance(answer, dict) and isinstance(answer.get("args_sha256"), str):
        seen = answer["args_sha256"]
        answer = {name: value for name, value in answer.items() if name != "args_sha256"}
    decision = read_answer(answer, approval, action)
    made = decision.reason if approval.is_question else decision.args
    verdict = _verdict(decision, approval, person, seen)

    def decide() -> Approval:
        now = record_verdict(service.ledger, approval, verdict, partial(service._open, record), lambda _: made)
        if now.status != "pending":
            service.go_on(now)
        return now

    return approval, decide


def _recover(service: Service) -> None:
    for status in ("running", "waiting"):
        after, is_more = "", True
        while is_more:
            page = service.ledger.inbox.runs(EVERYBODY, {"status": status}, after)
            after, is_more = page.more, bool(page.more)
            for record in page.items:
                if RUN_CLIENT in record.options and any(offer.has(record) for offer in service.offers):
                    service._stands(record.id)


def _checked(given: Given, team: Team) -> Given:
    """What a team is given that declares no input: a goal, be it alone in an object; BadInput if it is none."""
    if team.input is not None:
        return given
    values = given if isinstance(given, Mapping) else {"goal": given}
    goal = values.get("goal")
    if strangers := [name for name in values if name != "goal"]:
        raise BadInput(team.name, str(strangers[0]), "is not known: the team takes a goal")
    if not isinstance(goal, str) or not goal.strip():
        raise BadInput(team.name, "goal", "is missing" if not goal else "is no text")
    return goal


def _verdict(decision: Decision, approval: Approval, person: Person, seen: str) -> Verdict:
    """What somebody decides, as every desk writes it down."""
    if decision.kind == "approve":
        if len(seen) < _SEEN:
            raise BadAnswer("The answer does not say what was seen: send args_sha256, the digest of what is asked.")
        edits = not is_same(decision.args, approval.shown)
        return Verdict(kind="edit" if edits else "approve", by=person, said=decision.reason, sha256=seen)
    said = "" if approval.is_question and decision.kind == "respond" else decision.reason
    return Verdict(kind=decision.kind, by=person, said=said, sha256=seen)


def _newest(ledger: Ledger, offer: Offer, person: Person, most: int) -> list[RunRecord]:
    found, after, is_more = list[RunRecord](), "", True
    while is_more and len(found) < most:
        page = ledger.inbox.runs(EVERYBODY, {"team": offer.name}, after)
        found += [one for one in page.items if offer.has(one) and is_theirs(ledger, person, one)]
        after, is_more = page.more, bool(page.more)
    return found[:most]


def _thread(ledger: Ledger, offer: Offer, thread: str, tenant: str) -> list[RunRecord]:
    """The runs of a conversation: their ids follow from it and count on."""
    found, step = list[RunRecord](), 16
    while len(found) % step == 0:
        ids = [_run_id(offer, thread, tenant, number) for number in range(len(found), len(found) + step)]
        more = ledger.runs.some(ids)
        found += more
        if len(more) < step:
            break
    return [one for one in found if offer.has(one)]


def _run_id(offer: Offer, thread: str, tenant: str, number: int) -> str:
    """The id of a conversation's run of this number, counted from 0."""
    return f"r-{digest([tenant, offer.name, thread])[:12]}-{number + 1}"
