"""A run in an event loop: awaited, streamed, many at once, left early; and the same from code that has no loop."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Draft, Policy, Run, Task, Team
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import AlreadyDecided, NoArtifact, NothingAsked
from signoff.fleet import Event
from signoff.settings import load_settings
from signoff.testing import ScriptedModel, gives

PATIENCE = 10.0
"""Seconds after which something hangs for sure."""

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Note(Artifact):
    text: str


class Other(Artifact):
    text: str


class Mail(BaseModel):
    to: str


class Office:
    """A team that writes a note and proposes to send it, and the mails it sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.written = 0
        self.sending: Callable[[], None] = lambda: None
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        clerk = Agent(
            role="clerk",
            gives=Note,
            function=self._write,
            actions=(send,),
            propose=lambda note, task: [send.propose(Mail(to="ann"), "It is written.")],
        )
        self.team = Team(agents=[clerk], policy=Policy({"send_mail": "ask"}), name="office")

    def _write(self, task: Task) -> Note:
        self.written += 1
        task.say("writes", done=1, total=2)
        return Note(text=task.goal)

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        self.sending()
        self.sent.append(mail.to)
        return {"to": mail.to}


@pytest.fixture
def office() -> Office:
    return Office()


def patiently(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


def team_of(function: Callable[[Task], Any], name: str = "notes") -> Team:
    return Team(name=name, agents=[Agent(role="writer", gives=Note, function=function)])


class Hanging(BaseChatModel):
    """A model whose calls never end; they tell that they began, and that they were cancelled."""

    began: Any = None
    cancelled: Any = None

    @property
    def _llm_type(self) -> str:
        return "hanging"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind()

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("called without a loop")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"Hanging": 0}')
    return Hanging(began=threading.Event(), cancelled=threading.Event())


def writer_with(model: BaseChatModel) -> Team:
    return Team(name="notes", agents=[Agent(role="writer", gives=Note, instructions="Write.", model=model)])


def test_a_run_is_started_approved_and_done_by_awaiting_it(office: Office) -> None:
    async def work() -> tuple[str, str, str]:
        run = await Run.astart(office.team, "write to ann")
        first, action = run.status, run.asked.action
        await run.aapprove(by="bob")
        return first, action, run.status

    assert patiently(work()) == ("waiting", "send_mail", "done")
    assert office.sent == ["ann"]


def test_a_run_is_found_again_rejected_and_answered_by_awaiting_it(office: Office) -> None:
    async def work() -> list[str]:
        started = await Run.astart(office.team, "write to ann")
        run = await Run.aopen(started.id, team=office.team)
        await run.arespond("Make it shorter.", by="bob")
        await run.areject("Not today.", by="bob")
        while run.approval is not None:
            await run.areject(by="bob")
        return [outcome["status"] for outcome in run.values["outcomes"]]

    assert patiently(work())[:2] == ["answered", "rejected"]
    assert office.sent == []


def test_a_decision_can_be_written_down_without_going_on(office: Office) -> None:
    async def work() -> Run:
        run = await Run.astart(office.team, "write to ann")
        other = await Run.aopen(run.id, team=office.team)
        await run.aapprove(by="bob", drive=False)
        assert (office.sent, run.approval) == ([], None)
        with pytest.raises(AlreadyDecided):
            await other.aapprove()
        return await run.aresume()

    assert patiently(work()).status == "done"
    assert office.sent == ["ann"]


@pytest.mark.parametrize("in_a_loop", [True, False])
def test_a_stream_tells_what_happens_and_last_how_the_run_stands(office: Office, in_a_loop: bool) -> None:
    run = Run.start(office.team, "write to ann", drive=False)

    async def listen() -> list[Event]:
        return [event async for event in run.astream()]

    events = asyncio.run(listen()) if in_a_loop else list(run.stream())
    assert [event.kind for event in events if event.kind in ("turn", "says")] == ["turn", "says"]
    assert Event("says", agent="clerk", text="writes", done=1, total=2) in events
    *_, last = events
    assert (last.kind, last.status, [asked.action for asked in last.approvals]) == ("stands", "waiting", ["send_mail"])
    assert [event.kind for event in events].count("stands") == 1
    told = json.loads(last.to_json())
    assert (told["status"], told["approvals"][0]["shown"]) == ("waiting", {"to": "ann"})
    run.approve()
    assert [event.status for event in run.stream()] == ["done"]


def test_an_event_comes_while_the_work_goes_on_not_after_it() -> None:
    heard = asyncio.Event()

    async def write(task: Task) -> Note:
        task.say("begins")
        await heard.wait()  # for ever, if what was said is told only once the step has ended
        return Note(text=task.goal)

    async def work() -> str:
        run = await Run.astart(team_of(write), "sea", drive=False)
        async for event in run.astream():
            if event.text == "begins":
                heard.set()
        return run.artifact(Note).text

    assert patiently(work()) == "sea"


def test_many_runs_go_on_at_once_in_one_loop_whatever_their_agents_are(home: Any) -> None:
    crowd = 12
    inside = threading.Barrier(crowd)
    there: list[asyncio.Event] = []

    def meet(task: Task) -> Note:
        inside.wait(PATIENCE)  # broken, unless all of them are at work at once
        return Note(text=task.goal)

    async def meet_in_the_loop(task: Task) -> Note:
        there[0].set() if task.goal == "11" else await there[0].wait()
        return Note(text=task.goal)

    async def work(function: Callable[[Task], Any]) -> list[str]:
        there[:] = [asyncio.Event()]
        runs = await asyncio.gather(*(Run.astart(team_of(function), str(number)) for number in range(crowd)))
        return [run.artifact(Note).text for run in runs]

    expected = [str(number) for number in range(crowd)]
    assert patiently(work(meet)) == expected
    assert patiently(work(meet_in_the_loop)) == expected


async def _leave_the_loop(run: Run, began: threading.Event) -> None:
    async with aclosing(run.astream()) as events:
        async for event in events:
            if event.kind == "turn":
                await asyncio.to_thread(began.wait, PATIENCE)
                break


async def _cancel_the_task(run: Run, began: threading.Event) -> None:
    task = asyncio.create_task(run.aresume())
    await asyncio.to_thread(began.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _time_is_over(run: Run, began: threading.Event) -> None:
    async def resume_for_a_while() -> None:
        async with asyncio.timeout(None) as limit:
            waiting = asyncio.get_running_loop().run_in_executor(None, began.wait, PATIENCE)
            waiting.add_done_callback(lambda _: limit.reschedule(0))
            await run.aresume()

    with pytest.raises(TimeoutError):
        await resume_for_a_while()


@pytest.mark.parametrize("leave", [_leave_the_loop, _cancel_the_task, _time_is_over])
def test_whoever_leaves_cancels_the_call_and_the_run_can_be_resumed(hanging: Hanging, leave: Any) -> None:
    async def work() -> Run:
        run = await Run.astart(writer_with(hanging), "sea", drive=False)
        await leave(run, hanging.began)
        assert hanging.cancelled.is_set()
        answering = writer_with(ScriptedModel([gives(Note(text="sea"))]))
        return await (await Run.aopen(run.id, team=answering)).aresume()

    run = patiently(work())
    assert (run.status, run.artifact(Note).text) == ("done", "sea")


def test_whoever_leaves_a_stream_without_a_loop_cancels_the_call_too(hanging: Hanging) -> None:
    run = Run.start(writer_with(hanging), "sea", drive=False)
    for event in run.stream():
        if event.kind == "turn":
            hanging.began.wait(PATIENCE)
            break
    assert hanging.cancelled.wait(PATIENCE)
    assert Run.open(run.id, team=writer_with(ScriptedModel([gives(Note(text="sea"))]))).resume().status == "done"


def test_an_action_that_is_being_called_is_not_cut_off_and_not_called_again(office: Office) -> None:
    calling, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        calling.set()
        go_on.wait(PATIENCE)

    office.sending = wait

    async def work() -> str:
        run = await Run.astart(office.team, "write to ann")
        task = asyncio.create_task(run.aapprove())
        await asyncio.to_thread(calling.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert office.sent == []
        go_on.set()
        ledger = Ledger(load_settings().database_name)
        while not [effect for effect in ledger.effects.of_run(run.id) if effect.status == "done"]:
            await asyncio.sleep(0.01)  # the call's own thread has to write it down; there is nothing to wait on
        return (await run.aresume()).status

    assert patiently(work()) == "done"
    assert office.sent == ["ann"]


@pytest.mark.parametrize("is_async", [True, False])
def test_what_the_caller_set_in_its_context_is_there_in_the_agents(is_async: bool) -> None:
    def write(task: Task) -> Note:
        return Note(text=tenant.get())

    async def awrite(task: Task) -> Note:
        return Note(text=tenant.get())

    async def work(name: str) -> str:
        tenant.set(name)
        return (await Run.astart(team_of(awrite if is_async else write), "who?")).artifact(Note).text

    async def both() -> list[str]:
        return list(await asyncio.gather(work("ann"), work("bob")))

    assert patiently(both()) == ["ann", "bob"]
    token = tenant.set("eve")
    try:
        assert Run.start(team_of(awrite if is_async else write), "who?").artifact(Note).text == "eve"
    finally:
        tenant.reset(token)


def test_callbacks_around_a_run_hear_of_its_models_calls() -> None:
    def model() -> ScriptedModel:
        return ScriptedModel([gives(Note(text="sea"))])

    async def work() -> int:
        with get_usage_metadata_callback() as counted:
            await Run.astart(writer_with(model()), "sea")
        return len(counted.usage_metadata)

    assert patiently(work()) == 1
    with get_usage_metadata_callback() as counted:
        Run.start(writer_with(model()), "sea")
    assert len(counted.usage_metadata) == 1


def test_in_a_notebook_where_a_loop_runs_the_sync_methods_work_too(office: Office) -> None:
    async def cell() -> list[str]:
        run = Run.start(office.team, "write to ann")
        before = run.status
        run.approve()
        kinds = [event.kind for event in run.stream()]
        return [before, run.status, *kinds]

    assert patiently(cell()) == ["waiting", "done", "stands"]


def test_an_async_function_that_blocks_holds_up_no_other_run_of_the_background() -> None:
    """A sync caller's run shares the loop in the background with all others."""
    first_is_in, second_is_done = threading.Event(), threading.Event()

    async def block(task: Task) -> Note:
        first_is_in.set()
        second_is_done.wait(PATIENCE)
        return Note(text="first")

    found: list[str] = []
    first = threading.Thread(target=lambda: found.append(Run.start(team_of(block), "1").artifact(Note).text))
    first.start()
    assert first_is_in.wait(PATIENCE)
    found.append(Run.start(team_of(lambda task: Note(text="second")), "2").artifact(Note).text)
    second_is_done.set()
    first.join()
    assert found == ["second", "first"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_agent_that_ends_the_program_ends_its_caller_and_no_loop_of_ours(kind: type[BaseException]) -> None:
    def leave(task: Task) -> Note:
        raise kind("enough")

    with pytest.raises(kind):
        Run.start(team_of(leave), "sea")
    with pytest.raises(kind):
        asyncio.run(Run.astart(team_of(leave), "sea"))
    assert Run.start(team_of(lambda task: Note(text="goes on")), "sea").status == "done"


def test_an_artifact_is_had_by_its_type_or_its_name_and_a_missing_one_says_which_there_are(office: Office) -> None:
    run = Run.start(office.team, "sea", drive=False)
    with pytest.raises(NoArtifact, match="it has none yet"):
        run.artifact(Note)
    run.resume()
    note: Note = run.artifact(Note)
    assert note == run.artifact("Note") == Note(text="sea")
    with pytest.raises(NoArtifact, match=r"'Other': it has Note\."):
        run.artifact(Other)
    with pytest.raises(NoArtifact, match="'Draft'"):
        run.artifact(Draft)
    run.approve()
    with pytest.raises(NothingAsked):
        _ = run.asked


def test_who_is_cancelled_again_and_again_waits_until_the_run_is_left() -> None:
    """Web servers do so: whatever is awaited while a scope is left is cancelled, too."""
    begun, hang = threading.Event(), [True]

    async def write(task: Task) -> Note:
        begun.set()
        await asyncio.sleep(PATIENCE if hang else 0)
        return Note(text="written")

    team = Team(agents=[Agent(role="clerk", gives=Note, function=write)], name="office")

    async def main() -> None:
        run = await Run.astart(team, "cancel me", drive=False)
        task = asyncio.create_task(run.aresume())
        await asyncio.to_thread(begun.wait)
        with sqlite3.connect(load_settings().database_name) as writer:  # so that leaving takes a while
            writer.execute("BEGIN IMMEDIATE")
            for _ in range(100):
                task.cancel()
                await asyncio.sleep(0)
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        hang.clear()
        assert (await run.aresume()).status == "done"

    patiently(main())
