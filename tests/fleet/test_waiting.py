"""Waiting for a run, and deciding it with buttons as a notebook does."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Action, Agent, Draft, Policy, Run, Task, Team
from signoff.errors import MissingExtra, NothingAsked, NotSeen, RunBusy
from signoff.fleet import Event
from signoff.fleet.waiting import Going

PATIENCE = 60.0
"""Seconds after which something hangs for sure."""


class Mail(BaseModel):
    to: str


class Post:
    """A team that writes when it may, and proposes to send a mail; and the mails it sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.written, self.writes, self.may_write = 0, threading.Event(), threading.Event()
        self.sends, self.may_send = threading.Event(), threading.Event()
        self.may_write.set()
        self.may_send.set()
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        clerk = Agent(
            role="clerk",
            gives=Draft,
            function=self._write,
            actions=(send,),
            propose=lambda draft, task: [
                send.propose(Mail(to=to), "It is <b>written</b>.") for to in task.goal.split()[2::2]
            ],
        )
        self.team = Team(agents=[clerk], policy=Policy({"send_mail": "ask"}), name="post")

    def _write(self, task: Task) -> Draft:
        self.written += 1
        self.writes.set()
        assert self.may_write.wait(PATIENCE)
        return Draft(title="Mail", markdown="# Mail", method="extracted")

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        self.sends.set()
        assert self.may_send.wait(PATIENCE)
        self.sent.append(mail.to)
        return {"to": mail.to}

    def begin(self, goal: str = "write to ann") -> Run:
        return Run.start(self.team, goal, drive=False)

    def ask(self) -> Run:
        return Run.start(self.team, "write to ann")


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    yield made
    made.may_write.set()
    made.may_send.set()


def test_who_waits_for_a_run_has_it_go_on_until_it_asks_and_until_it_ends(post: Post, capsys: Any) -> None:
    run = post.begin()
    run.wait()
    assert (run.status, post.sent) == ("waiting", [])
    run.approve(drive=False)
    assert post.sent == []
    run.wait()
    run.wait()
    assert (run.status, post.sent, post.written) == ("done", ["ann"], 1)
    assert capsys.readouterr().out == ""


def test_after_a_timeout_it_goes_on_in_the_background_and_is_found_again(post: Post) -> None:
    post.may_write.clear()
    run = post.begin()
    run.wait(0)
    assert post.writes.wait(PATIENCE)
    run.wait(0)
    assert (run.status, post.written) == ("running", 1)
    post.may_write.set()
    run.wait()
    assert (run.status, post.written) == ("waiting", 1)
    assert run.artifact(Draft).title == "Mail"


def test_a_run_that_somebody_else_drives_is_looked_at_until_it_asks(post: Post) -> None:
    post.may_write.clear()
    run = post.begin()
    other = threading.Thread(target=Run.open(run.id, team=post.team).resume)
    other.start()
    assert post.writes.wait(PATIENCE)
    run.wait(0)
    post.may_write.set()
    run.wait()
    other.join(PATIENCE)
    assert (run.status, run.asked.action, post.written) == ("waiting", "send_mail", 1)


def test_what_was_decided_since_it_asked_in_the_background_is_gone_on_with(post: Post) -> None:
    post.may_write.clear()
    run = post.begin()
    run.wait(0)
    assert post.writes.wait(PATIENCE)
    with pytest.raises(NothingAsked, match="it is running"):
        run.approve()
    post.may_write.set()
    assert run._going is not None
    list(run._going.events())
    assert run.asked.action == "send_mail"
    run.approve(drive=False)
    run.wait()
    assert (run.status, post.sent) == ("done", ["ann"])


def test_what_is_asked_in_the_background_is_not_decided_before_it_was_seen(post: Post) -> None:
    run = post.begin()
    Run.open(run.id, team=post.team).resume()
    with pytest.raises(NotSeen, match=r"asks by now: a-\w+ \(send_mail\)"):
        run.approve()
    assert (run.asked.status, post.sent) == ("pending", [])
    run.approve()
    assert post.sent == ["ann"]


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_to_go_on_with_a_run_that_goes_on_in_the_background_hears_that_to_its_end(post: Post, in_a_loop: bool) -> None:
    post.may_write.clear()
    run, told = post.begin(), list[Event]()
    run.wait(0)
    assert post.writes.wait(PATIENCE)

    def watch(event: Event) -> None:
        told.append(event)
        post.may_write.set()

    if in_a_loop:
        asyncio.run(run.aresume(watch=watch))
    else:
        run.resume(watch=watch)
    assert (run.asked.action, post.written) == ("send_mail", 1)
    assert (told[0].kind, told[-1].kind) == ("plan", "stands")


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_who_leaves_a_run_that_went_on_in_the_background_ends_it_and_it_can_be_resumed(
    post: Post, in_a_loop: bool
) -> None:
    post.may_write.clear()
    run = post.begin()
    run.wait(0)
    assert post.writes.wait(PATIENCE)

    async def leave() -> None:
        async with aclosing(run.astream()) as events:
            await anext(events)

    if in_a_loop:
        asyncio.run(leave())
    else:
        with closing(run.stream()) as events:  # type: ignore[type-var]  # it is a generator
            next(events)
    post.may_write.set()
    Run.open(run.id, team=post.team).resume()  # nobody else drives it
    assert (run.asked.action, post.written) == ("send_mail", 2)


def test_what_is_approved_while_the_run_goes_on_in_the_background_is_done_too(post: Post) -> None:
    run = Run.start(post.team, "write to ann and bob")
    ann, bob = (asked.id for asked in run.approvals)
    post.may_send.clear()
    run.approve(approval=ann, drive=False)
    run.wait(0)
    assert post.sends.wait(PATIENCE)
    run.approve(approval=bob, watch=lambda _: post.may_send.set())
    assert (run.status, post.sent) == ("done", ["ann", "bob"])


def test_a_decision_counts_where_somebody_else_drives_the_run_and_it_is_told_so(post: Post) -> None:
    run = Run.start(post.team, "write to ann and bob")
    ann, bob = (asked.id for asked in run.approvals)
    post.may_send.clear()
    other = threading.Thread(target=Run.open(run.id, team=post.team).approve, kwargs={"approval": ann})
    other.start()
    assert post.sends.wait(PATIENCE)
    with pytest.raises(RunBusy, match="That is this process, which does so in another thread") as busy:
        run.approve(approval=bob)
    assert "It is decided" in busy.value.__notes__[0]
    run.wait(0)
    post.may_send.set()
    run.wait()
    other.join(PATIENCE)
    assert (run.status, post.sent) == ("done", ["ann", "bob"])


def test_what_a_run_fails_with_is_raised_by_the_wait() -> None:
    def stream() -> Iterator[Event]:
        yield Event("says", "clerk", "writes")
        raise OSError("no paper")

    with pytest.raises(OSError, match="no paper"):
        Going(stream, lambda: True).wait(None, None)


def test_an_interrupt_ends_the_run_too_which_goes_on_later(post: Post) -> None:
    post.may_write.clear()
    run = post.begin()

    def interrupt() -> None:
        post.writes.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        run.wait()
    assert any(f"Run.open({run.id!r})" in note for note in stopped.value.__notes__)
    post.may_write.set()
    run.wait()
    assert (run.status, post.written) == ("waiting", 2)


def test_a_cancelled_run_is_over_for_who_waits(post: Post) -> None:
    run = post.ask()
    Run.open(run.id, team=post.team).cancel()
    run.wait()
    assert run.status == "stopped"


def test_what_happens_is_told_while_the_run_goes_on() -> None:
    heard, told = threading.Event(), list[str]()

    def stream() -> Iterator[Event]:
        yield Event("says", "clerk", "writes")
        assert heard.wait(PATIENCE)

    def tell(event: Event) -> None:
        told.append(event.text)
        if event.text == "writes":
            heard.set()

    assert Going(stream, lambda: True).wait(PATIENCE, tell)
    assert told[-1] == "writes"


def test_a_run_is_html_with_its_graph_costs_and_artifacts(post: Post) -> None:
    html = post.ask()._repr_html_()
    for expected in ("<b>clerk</b>", "→ Draft", "no model calls, $0", "run.approve()", "&lt;b&gt;written"):
        assert expected in html
    assert "<b>written" not in html


def parts(box: Any) -> Iterator[Any]:
    for part in box.children:
        yield part
        if hasattr(part, "children"):
            yield from parts(part)


def press(box: Any, label: str) -> str:
    """What the box says once this button was clicked."""
    next(part for part in parts(box) if getattr(part, "description", "") == label).click()
    return str(box.children[-1].value)


def fill(box: Any, label: str, text: str) -> None:
    next(part for part in parts(box) if getattr(part, "description", "") == label).value = text


def test_buttons_approve_what_they_show_once_and_say_so_the_second_time(post: Post) -> None:
    run = post.ask()
    box = run.buttons(by="bob")
    said = press(box, "Approve")
    assert said.startswith("<p><strong>Decided: Approve</strong></p>")
    assert "done" in said
    assert all(part.disabled for part in parts(box) if hasattr(part, "disabled"))
    assert (run.status, post.sent) == ("done", ["ann"])
    assert "already decided: approved by bob" in press(box, "Approve")
    assert "already decided: approved by bob" in press(box, "Reject")
    assert post.sent == ["ann"]
    with pytest.raises(NothingAsked):
        run.buttons()


def test_buttons_reject_with_a_reason_and_approve_what_was_edited(post: Post) -> None:
    run = post.ask()
    box = run.buttons(by="bob")
    fill(box, "Reason", "not <i>now</i>")
    press(box, "Reject")
    assert (run.status, post.sent) == ("stopped", [])
    assert "not <i>now" not in box.children[-1].value
    box = post.ask().buttons(by="bob")
    for text, told in (("{", "no JSON"), ("[1]", "in braces"), (json.dumps({"to": 1}), "to")):
        fill(box, "Arguments", text)
        assert told in press(box, "Approve as edited")
        assert post.sent == []
    fill(box, "Arguments", json.dumps({"to": "eve"}))
    press(box, "Approve as edited")
    assert post.sent == ["eve"]


def test_what_was_decided_elsewhere_meanwhile_is_told_by_the_buttons(post: Post) -> None:
    run = post.ask()
    box = run.buttons(by="bob")
    Run.open(run.id, team=post.team).reject("no", by="ann")
    assert run.approvals == ()  # the handle has seen it, the buttons are about what they showed
    assert "rejected by ann" in press(box, "Approve")
    assert post.sent == []


def test_without_ipywidgets_the_calls_are_named(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    run = post.ask()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtra, match=r"run\.approve\(\)") as told:
        run.buttons()
    assert "\n" not in str(told.value)
