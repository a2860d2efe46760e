"""A run: one goal given to one team, as whoever gave it or decides what is asked has it in hand.

Each method stands here a second time for event loops, which is why this file is longer than most.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack, overload

from pydantic import BaseModel

from signoff.agents import NO_USAGE, Artifact, Usage, budgets_of
from signoff.checkpoints.errors import RunBusy, UnknownApproval
from signoff.checkpoints.ledger import RUN_INPUT, Approval, Person, RunRecord, Status
from signoff.checkpoints.ledger.budgets import Budget, budget_of
from signoff.concurrency import undisturbed, unpacked
from signoff.fleet.buttons import DecisionBox
from signoff.fleet.cancelling import cancel_run
from signoff.fleet.driver import RUN_BUDGET, RUN_PLAN, Driver, check_whole
from signoff.fleet.errors import NoArtifact, NotAllDecided, NothingAsked, NotSeen, RunExists, SeveralAsked
from signoff.fleet.events import Event, Watch, look_away
from signoff.fleet.history import read_state
from signoff.fleet.notebook import (
    Show,
    cell_display,
    draft_markdown,
    graph_html,
    progress_html,
    run_html,
    run_markdown,
)
from signoff.fleet.standing import Standing, standings
from signoff.fleet.waiting import Going
from signoff.graphs import Given, PlanStep, Team
from signoff.graphs.approval import (
    CONTROLS,
    MANY,
    Decision,
    batch_of,
    decide_each,
    describe,
    in_a_line,
    passages_of,
    read_edit,
    read_reply,
    say_reply,
)
from signoff.graphs.errors import BadAnswer
from signoff.graphs.nodes import read_goal
from signoff.settings import Settings
from signoff.tools import Action

A = TypeVar("A", bound=Artifact)


class RunView:
    """A run as it can be read; in a notebook it shows itself.

    Where it stands and what is asked is read from the ledger each time, its state when it is asked for first.
    """

    def __init__(self, run_id: str, team: Team, driver: Driver) -> None:
        self.id = run_id
        self.team, self._driver = team, driver
        self._settings, self._ledger = driver.settings, driver.ledger
        self._values: dict[str, Any] | None = None
        self._shown = self._pending()
        self._going: Going | None = None

    def wait_for_notices(self, seconds: float) -> bool:
        """Give whoever is to be told of this run so long to be told; whether nothing is left to send.

        What is left is sent by the next process that uses the ledger.
        """
        return self._ledger.notices.wait(seconds)

    def team_of(self, approval: Approval) -> Team:
        """Whose policy an approval is under: the run's team, or one that stands as an agent in it."""
        return self.team.team_at([role for _, role in approval.path])

    def action_of(self, approval: Approval) -> Action[Any]:
        """What an approval is about: an action of the team that asks, or one of a team's own questions."""
        return CONTROLS.get(approval.action) or self.team_of(approval).actions[approval.action]

    @property
    def record(self) -> RunRecord:
        """The run as the ledger knows it now."""
        return self._ledger.runs.get(self.id)

    @property
    def status(self) -> Status:
        """Where the run stands."""
        return self.record.status

    @property
    def standing(self) -> Standing:
        """Where the run stands in words, with what somebody should know of it."""
        (stands,) = standings(self._ledger, [self.record])
        return stands

    @property
    def approval(self) -> Approval | None:
        """What a person is asked now, if anything; the first of several questions."""
        return next(iter(self.approvals), None)

    @property
    def asked(self) -> Approval:
        """What a person is asked now, the first of several questions; NothingAsked if there is none."""
        approval = self.approval
        if approval is None:
            raise NothingAsked(self.id, self.status)
        return approval

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Everything that a person is asked now, oldest first."""
        self._shown = self._pending()
        return self._shown

    def alike(self, approval: str = "") -> tuple[str, ...]:
        """The ids of what is asked in one question with this one, or with the first: approve or reject them together.

        `run.approve(approval=run.alike())` approves them all, and nothing else.
        """
        asked = sorted(self.approvals, key=lambda one: one.id != approval) if approval else self.approvals
        if not asked:
            return ()
        team, of_one = self.team_of(asked[0]), [one for one in asked if one.run_id == asked[0].run_id]
        action = CONTROLS.get(asked[0].action) or team.actions.get(asked[0].action)
        return tuple(one.id for one in batch_of(of_one, action, team.rules))

    @property
    def children(self) -> tuple[RunRecord, ...]:
        """The runs that are the work of its agents, and theirs, oldest first: those of teams that stand as agents."""
        return self._ledger.runs.children(self.id)

    @property
    def values(self) -> dict[str, Any]:
        """The state of the graph at its last checkpoint, empty before the first."""
        if (values := self._values) is None:  # the run may go on in another thread
            values = self._values = read_state(self.id, self._settings)
        return values

    @property
    def artifacts(self) -> dict[str, Any]:
        """The artifacts by name, each as its agent's type; those of types that the team no longer has are left out."""
        types, stored = self.team.kinds, self.values.get("artifacts", {})
        return {name: types[name].model_validate(one["value"]) for name, one in stored.items() if name in types}

    @overload
    def artifact(self, kind: type[A]) -> A: ...
    @overload
    def artifact(self, kind: str) -> Artifact: ...
    def artifact(self, kind: type[Artifact] | str) -> Artifact:
        """The artifact of this type, or of the type of this name; NoArtifact, which says which there are."""
        name = kind if isinstance(kind, str) else kind.__name__
        stored = self.values.get("artifacts", {})
        if name not in stored:
            raise NoArtifact(self.id, self.status, name, sorted(stored))
        given = self.team.kinds[name] if isinstance(kind, str) else kind
        return given.model_validate(stored[name]["value"])

    @property
    def plan(self) -> list[PlanStep]:
        """What was done and what is to do."""
        return list(self.values.get("plan", []))

    @property
    def usage(self) -> Usage:
        """What the run's model calls used."""
        usage: Usage = self.values.get("usage") or NO_USAGE
        return usage

    @property
    def budget(self) -> Budget:
        """What the run may use before a person is asked, without what was added since."""
        given = self.team.run_budget
        return budgets_of(self._settings)["run"] if given is None else given

    def _repr_markdown_(self) -> str:
        return f"{self._in_words()}\n\n{draft_markdown(self.artifacts)}"

    def _repr_html_(self) -> str:
        head = graph_html(self.team, self.plan, self.usage)
        return run_html(self._in_words(), self.artifacts, self._settings.home, head)

    def _in_words(self) -> str:
        """How it stands, and the questions that wait."""
        known = [(one, CONTROLS.get(one.action) or self.team_of(one).actions.get(one.action)) for one in self.approvals]
        lines = {one.id: in_a_line(list(passages_of(one, action))) for one, action in known[MANY:]}
        asked = [(one, describe(one, action)) for one, action in known if not lines.get(one.id)]
        effects = [effect for run in (self.record, *self.children) for effect in self._ledger.effects.of_run(run.id)]
        brief = {name: line for name, line in lines.items() if line}
        return run_markdown(self.standing, self.plan, asked, effects, len(self.alike()), brief)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status}: {self.record.goal!r}>"

    def _pending(self) -> tuple[Approval, ...]:
        return tuple(self._ledger.approvals.pending(self.id))

    def _asked(self, named: str | Sequence[str] | None) -> list[Approval]:
        """What this handle last saw asked: a decision is about that, whatever is asked by now."""
        if not self._shown and named is None:
            if pending := self._pending():
                raise NotSeen(self.id, [f"{one.id} ({one.action})" for one in pending])
            for lapsed in self._ledger.approvals.lapsed(self.id):
                raise lapsed.already_decided()
            raise NothingAsked(self.id, self.status)
        if named is None and len(self._shown) > 1:
            raise SeveralAsked(self.id, [f"{asked.id} ({asked.action})" for asked in self._shown], len(self.alike()))
        if named is None:
            return [self._shown[0]]
        shown = {asked.id: asked for asked in self._shown}
        ids = [named] if isinstance(named, str) else list(dict.fromkeys(named))
        if not ids:
            raise BadAnswer("No question is named.")
        found = [shown.get(one) or self._ledger.approvals.get(one) for one in ids]
        for one in found:
            if not one.is_of(self.id):
                raise UnknownApproval(one.id)
            if one.id not in shown and len(found) == 1:
                raise one.already_decided()
        return found

    def _edited(self, asked: Approval, args: Mapping[str, Any] | None) -> dict[str, Any]:
        return asked.shown if args is None else read_edit(args, asked, self.action_of(asked))

    def _reply(self, asked: Approval, message: str | Mapping[str, Any] | BaseModel) -> str:
        if asked.is_question:
            action = self.action_of(asked)
            return say_reply(read_reply(message, action), action)
        if not isinstance(message, str):
            raise BadAnswer(f"{asked.action} is no question: what is said of it is text.")
        return message

    def _is_over(self) -> bool:
        """Whether it has ended, or asks somebody something; what is known of it is read anew."""
        self._values = None
        status = self.status
        return status not in ("running", "waiting") or (status == "waiting" and bool(self._pending()))

    def _follow(self, timeout: float | None, show: Show | None) -> None:
        def tell(event: Event) -> None:
            if show is not None:
                show(f"{progress_html(event)}\n{self._repr_html_()}")

        going = self._going
        if going is None or not (going.is_under_way or going.has_failed):  # what it came to may be decided by now
            going = self._going = Going(self._events, self._is_over)
        is_over = True
        try:
            is_over = going.wait(timeout, tell if show is not None else None)
        except KeyboardInterrupt as stopped:
            stopped.add_note(f"The run is kept: Run.open({self.id!r}).wait() goes on.")
            raise
        finally:
            if is_over:
                self._going, self._values, self._shown = None, None, self._pending()
            if show is not None:
                show(self._repr_html_())

    def _driven(self) -> Team:
        self._values = None
        return self.team

    def _events(self) -> Iterator[Event]:
        """Drive it; what it asks then was shown to nobody yet."""
        return map(self._heard, self._driver.stream(self.id, self._driven()))

    def _heard(self, event: Event) -> Event:
        if event.kind in ("plan", "stands"):
            self._values = None
        return event


class Answering(TypedDict, total=False):
    """How a question is decided."""

    approval: str | Sequence[str] | None
    """The id of one of several questions, which must be named; or the ids of several, each of which is decided so."""
    by: str | Person | None
    """Who decides; the user of the settings if nobody is named."""
    watch: Watch
    """Is told what happens while the run goes on."""
    drive: bool
    """False: it is only written down; whoever resumes the run finds it."""


class Run(RunView):
    """A handle on one run, to go on with it and to decide what it asks; each method has a twin for event loops."""

    @classmethod
    def start(
        cls,
        team: Team,
        goal: str | Mapping[str, Any] | BaseModel | Given,
        *,
        settings: Settings | None = None,
        watch: Watch = look_away,
        drive: bool = True,
        dry_run: bool = False,
        budget: Budget | str | None = None,
        ask_plan: bool = False,
        run_id: str = "",
    ) -> Run:
        """Give a goal to a team and drive the run until it ends or waits for a person.

        A team with an `input` is given that: the model, or values by its fields' names; BadInput if one does not fit.
        A dry run does everything but the effects: whatever is approved is not called. `budget` is what the run may use
        before a person is asked, such as `$2`, None as the team has it; whoever resumes the run keeps to it.
        With `ask_plan` a person sees the plan, and may change it, before anybody works by it. `run_id` is the id it is
        to have, where that follows from something else; RunExists if it began before.
        """
        options = dict(team.options)
        if ask_plan:
            options[RUN_PLAN] = True
        if budget is not None:
            options[RUN_BUDGET] = budget_of(budget, "Run.start").model_dump(exclude_none=True)
        driver = Driver.open(settings, team.ledger)
        given = goal if isinstance(goal, Given) else _read(team, goal, driver.settings)
        dry_run = dry_run or team.dry_run
        team.takes.look_at(given, dry_run=dry_run)
        if team.input is not None:
            options[RUN_INPUT] = dict(given.values)
        run_id = run_id or f"r-{secrets.token_hex(4)}"
        told = {"team": team.name, "goal": given.goal, "driver": "local", "requested_by": driver.settings.user_name}
        if not driver.ledger.runs.begin_as(run_id, options=options, dry_run=dry_run, **told):
            raise RunExists(run_id)
        run = cls(run_id, driver.team_of(driver.ledger.runs.get(run_id), team), driver)
        return run.resume(watch=watch) if drive else run

    @classmethod
    def open(
        cls, run_id: str, *, team: Team | None = None, settings: Settings | None = None, model: str | None = None
    ) -> Run:
        """The run with this id. A ready-made team is built again; your own must be given to resume it.

        ChildRun if it is the work of an agent in another run, which says in which.

        `model` is the name of one that does all the work of a ready-made team from now on, whoever resumes the run.
        """
        driver = Driver.open(settings, team.ledger if team else None)
        record = driver.ledger.runs.get(run_id)
        check_whole(record)
        if model is not None:
            record = driver.change_model(record, model)
        return cls(record.id, driver.team_of(record, team), driver)

    def resume(self, *, watch: Watch = look_away) -> Run:
        """Go on from wherever the run stands, until it ends or waits for a person; RunBusy if another process does."""
        for event in self.stream():
            watch(event)
        return self

    def stream(self) -> Iterator[Event]:
        """Go on as `resume` does, and tell of it as it happens; the last event says how the run stands.

        Leaving the loop cancels the call that is under way, and the run can be resumed. What goes on in the background
        since a `wait` is heard to its end first.
        """
        try:
            if self._going is not None and self._going.is_under_way:
                yield from self._going.events()
            self._going = None
            for event in self._events():
                self._shown = event.approvals if event.kind == "stands" else self._shown
                yield event
        except KeyboardInterrupt as stopped:
            stopped.add_note(f"The run is kept: Run.open({self.id!r}).resume() goes on.")
            raise

    def wait(self, timeout: float | None = None) -> None:
        """Go on as `resume` does, or look on while another process does, until the run ends or asks a person something.

        In a notebook the cell shows the run while it goes on, and in the end as it stands then. After `timeout` seconds
        the run goes on in the background, where `wait` finds it again; the process does not stay alive for it.
        """
        self._follow(timeout, cell_display())

    def buttons(self, approval: str = "", *, by: str | Person | None = None) -> Any:
        """A widget for a notebook: what is asked now, or the one of several of this id, with buttons that decide it.

        They call `approve`, `reject` and `respond` about what the widget shows, whatever is asked by then, and go on;
        what does not count is told there. MissingExtra without ipywidgets.
        """
        self._shown = self._pending()
        asked = self._asked(approval or None)[0]

        def seen() -> Run:
            handle = copy.copy(self)
            handle._shown = (asked,)
            return handle

        question = describe(asked, CONTROLS.get(asked.action) or self.team_of(asked).actions.get(asked.action))
        return DecisionBox(asked, question, seen, partial(self._follow, None), by=by).box

    def approve(self, *, args: Mapping[str, Any] | None = None, reason: str = "", **how: Unpack[Answering]) -> Run:
        """Approve what this handle last saw asked, as shown or with edited arguments, and go on.

        Edited arguments are all of them; those that nobody may change can be left out. AlreadyDecided if somebody was
        faster: what is asked by then is another question. BadAnswer if edited arguments do not fit or policy denies
        them, NotAllowed if this person may not decide it, ChangedSince if it was edited since.
        """
        asked = self._asked(how.get("approval"))
        if args is not None and len(asked) > 1:
            raise BadAnswer("Edited arguments are those of one question: name one.")
        return self._decide(asked, lambda one: Decision("approve", self._edited(one, args), reason), how)

    def reject(self, reason: str = "", **how: Unpack[Answering]) -> Run:
        """Reject what this handle last saw asked, and go on; with a reason the agent may propose otherwise."""
        return self._decide(self._asked(how.get("approval")), lambda _: Decision("reject", {}, reason), how)

    def respond(self, message: str | Mapping[str, Any] | BaseModel, **how: Unpack[Answering]) -> Run:
        """Answer a question, and go on; or say something instead of deciding what is proposed: it is not done then.

        The answer to a question is text, its form, or values by the form's fields; BadAnswer says what does not fit.
        The agent reads the message, or the answer.
        """
        return self._decide(
            self._asked(how.get("approval")), lambda one: Decision("respond", {}, self._reply(one, message)), how
        )

    def revoke(self, approval: str, reason: str = "", *, by: str | Person | None = None) -> Run:
        """Take back what was decided of the approval with this id, as long as nothing was called; `resume` goes on.

        What was said of an unknown outcome is asked again. AlreadyDecided says why it is too late; NotAllowed if this
        person may not.
        """
        found = self._ledger.approvals.get(approval)
        if not found.is_of(self.id):
            raise UnknownApproval(approval)
        self._ledger.approvals.revoke(found.id, by=by or self._settings.user_name, reason=reason)
        self._shown = self._pending()
        return self

    def cancel(self, *, by: str | None = None) -> Run:
        """End the run, whoever drives it: what it asks is closed, and no effect of it begins any more.

        One that another process drives, or a worker, ends there at its next step; RunEnded if it has ended. What is
        under way comes to its end first: what it did is kept, and nobody goes on with it.
        """
        cancel_run(self._ledger, self.id, by=by or self._settings.user_name)
        self._shown, self._values = self._pending(), None
        return self

    @classmethod
    async def astart(
        cls,
        team: Team,
        goal: str | Mapping[str, Any] | BaseModel | Given,
        *,
        settings: Settings | None = None,
        watch: Watch = look_away,
        drive: bool = True,
        dry_run: bool = False,
        budget: Budget | str | None = None,
        ask_plan: bool = False,
        run_id: str = "",
    ) -> Run:
        """`start` for an event loop, which is never blocked: the run goes on in the loop of whoever awaits it."""
        begin = partial(cls.start, team, goal, settings=settings, drive=False, dry_run=dry_run, budget=budget)
        run = await undisturbed(partial(begin, ask_plan=ask_plan, run_id=run_id))
        return await run.aresume(watch=watch) if drive else run

    @classmethod
    async def aopen(
        cls, run_id: str, *, team: Team | None = None, settings: Settings | None = None, model: str | None = None
    ) -> Run:
        """`open` for an event loop."""
        return await undisturbed(partial(cls.open, run_id, team=team, settings=settings, model=model))

    async def aresume(self, *, watch: Watch = look_away) -> Run:
        """`resume` for an event loop; cancelling it cancels the call that is under way, and the run can be resumed."""
        async for event in self.astream():
            watch(event)
        return self

    async def astream(self) -> AsyncGenerator[Event, None]:
        """`stream` for an event loop. To leave it early at once, use `contextlib.aclosing` or cancel the task."""
        if self._going is not None and self._going.is_under_way:
            async with aclosing(self._going.aevents()) as events:
                async for event in events:
                    yield event
        self._going = None
        async with aclosing(self._driver.astream(self.id, self._driven())) as events:
            with unpacked():
                async for event in events:
                    self._heard(event)
                    if event.kind == "stands":  # so that reading it blocks nobody
                        self._shown = event.approvals
                        self._values = await undisturbed(read_state, self.id, self._settings)
                    yield event

    async def aapprove(
        self, *, args: Mapping[str, Any] | None = None, reason: str = "", **how: Unpack[Answering]
    ) -> Run:
        """`approve` for an event loop."""
        return await self._decided(how, lambda quietly: self.approve(args=args, reason=reason, **quietly))

    async def areject(self, reason: str = "", **how: Unpack[Answering]) -> Run:
        """`reject` for an event loop."""
        return await self._decided(how, lambda quietly: self.reject(reason, **quietly))

    async def arespond(self, message: str | Mapping[str, Any] | BaseModel, **how: Unpack[Answering]) -> Run:
        """`respond` for an event loop."""
        return await self._decided(how, lambda quietly: self.respond(message, **quietly))

    async def arevoke(self, approval: str, reason: str = "", *, by: str | Person | None = None) -> Run:
        """`revoke` for an event loop."""
        return await undisturbed(partial(self.revoke, approval, reason, by=by))

    async def acancel(self, *, by: str | None = None) -> Run:
        """`cancel` for an event loop."""
        return await undisturbed(partial(self.cancel, by=by))

    def _decide(self, asked: Sequence[Approval], decision: Callable[[Approval], Decision], how: Answering) -> Run:
        by = how.get("by") or self._settings.user_name
        results = decide_each(self._ledger, asked, decision, lambda one: self.team_of(one).rules, by=by)
        if problems := [f"{one.approval.id}: {one.problem}" for one in results if one.problem]:
            self._shown = self._pending()
            raise NotAllDecided(self.id, len(results) - len(problems), problems)
        if how.get("drive", True):
            with _decided():
                return self.resume(watch=how.get("watch", look_away))
        self._shown = self._pending()
        return self

    async def _decided(self, how: Answering, decide: Callable[[Answering], Run]) -> Run:
        quietly: Answering = {**how, "drive": False}
        await undisturbed(decide, quietly)
        with _decided():
            return await self.aresume(watch=how.get("watch", look_away)) if how.get("drive", True) else self


@contextmanager
def _decided() -> Iterator[None]:
    """Who cannot go on because somebody else does is told that what they said counts."""
    try:
        yield
    except RunBusy as busy:
        busy.add_note("It is decided. run.wait() looks on until the run asks or ends, and goes on if nobody else does.")
        raise


def _read(team: Team, goal: str | Mapping[str, Any] | BaseModel, settings: Settings) -> Given:
    """What the run is given, checked."""
    if not isinstance(goal, Mapping | BaseModel):
        return team.read_input({"goal": goal}, settings) if team.input is not None else Given(read_goal(goal))
    return team.read_input(goal, settings)
