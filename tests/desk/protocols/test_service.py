"""Runs as clients have them, whatever protocol they speak: one core starts, follows, answers and cancels them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from desk_pages import OFFICE

from signoff import Ledger, Run
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.errors import AlreadyDecided, ChangedSince, NotAllowed, UnknownApproval, UnknownRun
from signoff.checkpoints.ledger import RUN_CLIENT, Person
from signoff.desk.deciding import Verdict, record_verdict
from signoff.desk.errors import RunUnderWay
from signoff.desk.following import Feeds, Told
from signoff.desk.offers import Offer, read_offers
from signoff.desk.service import Service
from signoff.error_base import SettingsError
from signoff.fleet import Event
from signoff.graphs.errors import BadAnswer, BadInput, UnknownTeam
from signoff.settings import load_settings

ANN, BOB = Person("ann"), Person("bob")
APPROVE = {"type": "approve"}


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(configured_ledger(load_settings())) as found:
        yield found


@pytest.fixture
def service(home: Path, ledger: Ledger) -> Service:
    return served(home, ledger)


def served(home: Path, ledger: Ledger) -> Service:
    (home / "office.py").write_text(OFFICE)
    named = [f"office.py:{name}" for name in ("team", "two", "soon", "asks")]
    return Service(load_settings(), ledger, read_offers(named, load_settings()), page="http://desk.test")


def post(service: Service, slug: str = "post") -> Offer:
    found = service.offer(slug)
    assert found is not None
    return found


async def heard(service: Service, run: str, person: Person = ANN, **how: Any) -> list[Told]:
    async with aclosing(service.follow(run, person, **how)) as events:
        return [told async for told in events if told is not None]


async def waiting(service: Service, goal: str = "write Ida", person: Person = ANN, **how: Any) -> tuple[str, Any]:
    """A run that waits, and the first thing that it asks."""
    run = (await service.start(post(service, how.pop("team", "post")), goal, person, **how)).id
    await heard(service, run, person)
    return run, (await service.asked(run, person))[0]


def sent(home: Path) -> list[str]:
    path = home / "sent.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_is_started_followed_answered_and_its_result_fetched(service: Service, home: Path) -> None:
    async def work() -> None:
        run = (await service.start(post(service), "write Ida", ANN)).id
        told = await heard(service, run)
        assert [one.event.agent for one in told if one.event.kind == "turn"] == ["clerk"]
        assert (told[-1].event.kind, told[-1].event.status) == ("stands", "waiting")
        (question,) = await service.asked(run, ANN)
        assert question["people_decide_at"] == f"http://desk.test/approvals/{question['approval']}"
        assert question["action_requests"][0]["args"]["to"] == "Ida"
        early = await service.result(run, ANN)
        assert (early.status, early.artifacts) == ("waiting", {})
        await service.answer(question["approval"], APPROVE, ANN, seen=question["args_sha256"])
        assert (await heard(service, run))[-1].event.status == "done"
        done = await service.result(run, ANN)
        assert [(one["action"], one["by"]) for one in done.outcomes] == [("post_letter", "ann")]

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ({"type": "maybe"}, True),
        ({"type": "approve"}, False),
        ("yes, of course", True),
        (True, True),
        (None, True),
        ({"approved": "true"}, True),
        ([APPROVE, APPROVE], True),
        ({"type": "edit", "args": {"name": "post_letter", "args": {"copies": "many"}}}, True),
        ({"type": "approve", "approval_id": "a-other"}, True),
    ],
)
def test_what_is_not_surely_a_decision_decides_nothing(service: Service, home: Path, answer: Any, seen: bool) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        with pytest.raises(BadAnswer):
            await service.answer(question["approval"], answer, ANN, seen=question["args_sha256"] if seen else "")
        assert [one["approval"] for one in await service.asked(run, ANN)] == [question["approval"]]

    asyncio.run(work())
    assert sent(home) == []


def test_an_answer_to_another_question_to_another_version_or_once_more_is_refused(service: Service, home: Path) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        approval, seen = question["approval"], question["args_sha256"]
        for wrong in ("a-nothing0000", approval[:9], "", "%"):
            with pytest.raises(UnknownApproval):
                await service.answer(wrong, APPROVE, ANN, seen=seen)
        with pytest.raises(ChangedSince):
            await service.answer(approval, APPROVE, ANN, seen="0" * 64)
        await service.answer(approval, APPROVE, ANN, seen=seen)
        for again in (APPROVE, {"type": "reject"}):
            with pytest.raises(AlreadyDecided):
                await service.answer(approval, again, ANN, seen=seen)
        await heard(service, run)

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


def test_an_edit_is_done_as_it_was_edited_and_a_question_is_answered(service: Service, home: Path) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        args = {**question["action_requests"][0]["args"], "text": "hi"}
        edit = {"type": "edit", "edited_action": {"name": "post_letter", "args": args}}
        await service.answer(question["approval"], edit, ANN, seen=question["args_sha256"])
        await heard(service, run)
        run, question = await waiting(service, team="asks")
        await service.answer(question["approval"], {"type": "respond", "message": "the blue one"}, ANN)
        await heard(service, run)
        assert (await service.result(run, ANN)).outcomes[0]["result"] == {"answer": "the blue one"}

    asyncio.run(work())
    assert sent(home) == ["Ida: hi (1)"]


WIRE = """
from typing import Any
from pydantic import BaseModel
from pathlib import Path

from office import clerk
from signoff import Action, Policy, Team
from dataclasses import replace


class Request(BaseModel):
    body: dict[str, Any] = {"on": 1}


def send(request: Request, key: str) -> dict[str, Any]:
    Path("sent.txt").write_text(request.model_dump_json())
    return request.body


SEND = Action(name="send", description="Sends it.", arguments=Request, call=send)
agent = replace(clerk, actions=(SEND,), propose=lambda given, task: [SEND.propose(Request(), "they asked for it")])
team = Team(name="wire", agents=[agent], policy=Policy({"send": "ask"}))
"""


def test_an_edit_of_a_number_to_true_is_an_edit_though_they_are_equal_to_python(ledger: Ledger, home: Path) -> None:
    (home / "office.py").write_text(OFFICE)
    (home / "wire.py").write_text(WIRE)
    service = Service(load_settings(), ledger, read_offers(["wire.py:team"], load_settings()))

    async def work() -> None:
        run, question = await waiting(service, team="wire")
        edit = {"type": "edit", "args": {"name": "send", "args": {"body": {"on": True}}}}
        now = await service.answer(question["approval"], edit, ANN, seen=question["args_sha256"])
        assert (now.edited, now.args) == (True, {"body": {"on": True}})
        await heard(service, run)

    asyncio.run(work())
    assert sent(home) == ['{"body":{"on":true}}']


def test_whoever_comes_back_to_a_run_that_was_forgotten_hears_what_it_told_since() -> None:
    feeds = Feeds()
    for _ in range(3):
        feeds.of("r-1").add(Event("says", text="before"))
    (*_, (number, _)), forgotten = feeds.of("r-1").since(0), feeds.of("r-1")
    for other in range(2000):
        feeds.of(f"r-other-{other}")
    assert feeds.of("r-1") is not forgotten
    feeds.of("r-1").add(Event("says", text="since"))
    assert [event.text for _, event in feeds.of("r-1").since(feeds.number_of(feeds.id_of(number)))] == ["since"]


def test_whoever_may_not_decide_is_refused_and_two_must_agree(service: Service, ledger: Ledger, home: Path) -> None:
    async def work() -> None:
        run, question = await waiting(service, team="two")
        approval, seen = question["approval"], question["args_sha256"]
        with pytest.raises(NotAllowed):
            await service.answer(approval, APPROVE, BOB, seen=seen)
        for name in ("ann", "bob"):
            assert sent(home) == []
            await service.answer(approval, APPROVE, Person(name, frozenset({"finance"})), seen=seen)
        await heard(service, run)

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


def test_what_expired_is_refused_and_the_run_goes_on_without_it(service: Service, home: Path) -> None:
    async def work() -> None:
        run = (await service.start(post(service, "soon"), "write Ida", ANN)).id
        told = await heard(service, run)
        assert told[-1].event.status in ("done", "stopped")
        (approval,) = [one.approval for one in service.ledger.inbox.page("decided", ANN).items]
        with pytest.raises(AlreadyDecided, match="expired"):
            await service.answer(approval.id, APPROVE, ANN, seen=approval.shown_sha256)

    asyncio.run(work())
    assert sent(home) == []


def test_runs_of_another_tenant_or_team_are_as_if_there_were_none(service: Service, ledger: Ledger, home: Path) -> None:
    acme = Person("ann", frozenset({"tenant:acme"}))
    zeta, root = Person("eve", frozenset({"tenant:zeta"})), Person("root", frozenset({"tenant:*"}))

    async def work() -> None:
        run, question = await waiting(service, person=acme)
        approval, seen = question["approval"], question["args_sha256"]
        for other in (zeta, BOB, Person("")):
            for ask in (service.find, service.standing, service.asked, service.result, service.resume, service.cancel):
                with pytest.raises(UnknownRun):
                    await ask(run, other)
            with pytest.raises(UnknownRun):
                await heard(service, run, other)
            with pytest.raises(UnknownApproval):
                await service.answer(approval, APPROVE, other, seen=seen)
            verdict, found = Verdict(kind="approve", by=other, sha256=seen), ledger.approvals.get(approval)
            with pytest.raises(NotAllowed, match="acme"):  # whatever desk it is decided at
                record_verdict(ledger, found, verdict, lambda: service.open_run(run), lambda _: {})
        with pytest.raises(UnknownRun):
            await service.find(run, acme, post(service, "two"))
        with pytest.raises(UnknownRun):
            await service.find(run[:6], acme)
        assert (await service.find(run, root)).tenant == "acme"
        assert await service.thread(post(service), "t", zeta) == []
        await service.answer(approval, APPROVE, acme, seen=seen)
        await heard(service, run, acme)

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


def test_a_message_that_is_sent_twice_begins_one_run_and_a_conversation_has_one_at_a_time(service: Service) -> None:
    async def work() -> None:
        both = [service.start(post(service), "write Ida", ANN, thread="t", said="m-1") for _ in range(2)]
        first, again = await asyncio.gather(*both)
        assert first.id == again.id
        await heard(service, first.id)
        with pytest.raises(RunUnderWay, match="waiting"):
            await service.start(post(service), "write Bo", ANN, thread="t", said="m-2")
        await service.cancel(first.id, ANN)
        second = await service.start(post(service), "write Bo", ANN, thread="t", said="m-2")
        assert second.id != first.id
        assert [one.id for one in await service.thread(post(service), "t", ANN)] == [first.id, second.id]
        assert (await service.start(post(service), "write Ida", ANN, thread="t", said="m-1")).id == first.id
        await service.cancel(second.id, ANN)

    asyncio.run(work())


def test_a_cancelled_run_asks_nothing_any_more_and_does_nothing(service: Service, home: Path) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        assert (await service.cancel(run, BOB)).status == "stopped"
        with pytest.raises(AlreadyDecided):
            await service.answer(question["approval"], APPROVE, ANN, seen=question["args_sha256"])
        assert "cancelled by bob" in (await service.cancel(run, ANN)).note
        await service.resume(run, ANN)
        assert (await heard(service, run))[-1].event.status == "stopped"

    asyncio.run(work())
    assert sent(home) == []


def test_whoever_comes_back_hears_what_came_after_the_event_that_they_had(service: Service) -> None:
    async def work() -> None:
        run = (await service.start(post(service), "write Ida", ANN)).id
        told = await heard(service, run)
        assert len(told) > 2
        for place in range(len(told) - 1):
            rest = await heard(service, run, after=told[place].id)
            assert [one.id for one in rest] == [one.id for one in told[place + 1 :]]
        for unknown in ("", "0000-1", "garbage", "9" * 40, f"{told[0].id}9"):
            assert (await heard(service, run, after=unknown))[-1].event.status == "waiting"

    asyncio.run(work())


def test_a_decision_made_elsewhere_is_heard_and_the_run_goes_on(service: Service, home: Path) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        statuses = list[str]()
        async with aclosing(service.follow(run, ANN, through=True)) as events:
            async for told in events:
                if told is not None and told.event.kind == "stands":
                    statuses.append(str(told.event.status))
                    if told.event.status == "waiting":
                        approve = service.ledger.approvals.approve
                        await asyncio.to_thread(approve, question["approval"], by="ada")
        assert statuses == ["waiting", "done"]

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


def test_after_a_restart_what_was_cut_off_or_decided_meanwhile_goes_on(home: Path, ledger: Ledger) -> None:
    async def work() -> None:
        run, question = await waiting(served(home, ledger))
        ledger.approvals.approve(question["approval"], by="ada")
        cut = Run.start(post(served(home, ledger)).make(load_settings()), "write Bo", drive=False, run_id="r-cut")
        again = served(home, ledger)
        ledger.runs.change_options(cut.id, {**cut.record.options, RUN_CLIENT: {"thread": "t"}}, by="ann")
        await again.recover()
        assert (await heard(again, run))[-1].event.status == "done"
        assert (await heard(again, cut.id))[-1].event.status == "waiting"

    asyncio.run(work())
    assert sent(home) == ["Ida: hello (1)"]


def test_what_a_team_does_not_take_begins_no_run_and_teams_are_told_apart(service: Service, ledger: Ledger) -> None:
    async def work() -> None:
        for wrong in ("", "  ", {}, {"goal": " "}, {"goal": 3}, {"goal": "x", "other": 1}):
            with pytest.raises(BadInput):
                await service.start(post(service), wrong, ANN)
        several = Person("ann", frozenset({"tenant:a", "tenant:b"}))
        with pytest.raises(SettingsError, match="several tenants"):
            await service.start(post(service), "write Ida", several)

    asyncio.run(work())
    assert ledger.runs.list() == []
    with pytest.raises(SettingsError, match="two teams are called"):
        read_offers(["office.py:team", "office.py:team"], load_settings())
    with pytest.raises(UnknownTeam):
        read_offers(["nobody"], load_settings())


def test_hundreds_who_listen_have_no_thread_each(service: Service) -> None:
    async def work() -> None:
        run, question = await waiting(service)
        before = threading.active_count()
        following = [asyncio.create_task(heard(service, run, through=True)) for _ in range(300)]
        while service.changes.listeners < 300:
            await asyncio.sleep(0)
        during = threading.active_count()
        await service.answer(question["approval"], APPROVE, ANN, seen=question["args_sha256"])
        told = await asyncio.gather(*following)
        assert {one[-1].event.status for one in told} == {"done"}
        assert during - before <= 40  # pools, whose size does not follow from who listens

    asyncio.run(work())
