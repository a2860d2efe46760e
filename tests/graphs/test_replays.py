"""A thousand replays and forks of a run whose payment was made; the bank is told nothing that nobody approved."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hunts import Part
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from signoff.checkpoints.saver.saver import SqliteCheckpointer

APPROVE = {"decisions": [{"type": "approve"}]}
SEED = 20261122


@pytest.fixture
def finished(office: Any, tmp_path: Path) -> Iterator[Any]:
    """An office whose one payment was asked about, approved and made."""
    with SqliteCheckpointer(tmp_path / "signoff.db") as saver:
        office.saver = saver
        office.start()
        office.answer(APPROVE)
        assert payments(office) == [("ann", 5)]
        yield office


def payments(office: Any) -> list[tuple[str, int]]:
    return [(to, euros) for to, euros, _ in office.paid]


class Replays:
    """Ways of going back to a checkpoint of a run that ended; each tells on which thread it went on."""

    def __init__(self, office: Any, chance: random.Random) -> None:
        self.office, self.chance, self.copies = office, chance, 0
        self.graph = office.team.compile(checkpointer=office.saver)
        self.moments = list(self.graph.get_state_history(office.config))
        self.proposals = next(past for past in self.moments if past.values.get("proposals")).values["proposals"]
        (self.effect,) = office.ledger.effects.of_run("r-1")
        self.copied = [past.config["configurable"]["checkpoint_id"] for past in self.moments]
        office.saver.copy_thread("r-1", "as it ended")

    def go_on(self, past: Any) -> str:
        """With nothing."""
        self.graph.invoke(None, past.config)
        return self.thread(past)

    def approve_again(self, past: Any) -> str:
        """With the very answer that approved it."""
        answer = {"type": "approve", "approval_id": self.effect.approval_id}
        self.graph.invoke(Command(resume={"decisions": [answer]}), past.config)
        return self.thread(past)

    def fork(self, past: Any) -> str:
        """By an update that changes nothing of what is proposed, as whatever node."""
        as_node = self.chance.choice(("intake", "clerk", "supervisor", "gate", "act"))
        forked = self.graph.update_state(past.config, {"asked_again": ""}, as_node=as_node)
        self.graph.invoke(None, forked)
        return self.thread(past)

    def forget(self, past: Any) -> str:
        """By an update that puts the proposal back and takes away that it was settled."""
        values = {"proposals": self.proposals, "outcomes": []}
        forked = self.graph.update_state(past.config, values, as_node=self.chance.choice(("supervisor", "gate")))
        self.graph.invoke(Command(goto=self.chance.choice(("gate", "act"))), forked)
        return self.thread(past)

    def copy(self, past: Any) -> str:
        """On a copy of the thread as it ended, from the same moment if it had been there by then."""
        self.copies += 1
        name, moment = f"copy-{self.copies}", past.config["configurable"]["checkpoint_id"]
        self.office.saver.copy_thread("as it ended", name)
        at = {"checkpoint_id": moment} if moment in self.copied else {}
        config: RunnableConfig = {"configurable": {"thread_id": name, **at}}
        self.graph.invoke(self.chance.choice((None, Command(resume=APPROVE))), config)
        return name

    def change(self, past: Any, euros: int) -> str:
        """By an update that makes it another amount."""
        (proposal,) = self.proposals
        values = {"proposals": [{**proposal, "args": {"to": "ann", "euros": euros}}], "outcomes": []}
        forked = self.graph.update_state(past.config, values, as_node=self.chance.choice(("supervisor", "gate")))
        self.graph.invoke(Command(goto=self.chance.choice(("gate", "act"))), forked)
        return self.thread(past)

    def thread(self, past: Any) -> str:
        return str(past.config["configurable"]["thread_id"])

    def asked(self, thread: str) -> list[dict[str, Any]]:
        """What the thread asks now."""
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        return [interrupt.value for interrupt in self.graph.get_state(config).interrupts]


def test_replays_and_forks_of_a_payment_pay_nothing(finished: Any) -> None:
    go_back(finished, 100, random.Random(SEED))


@pytest.mark.hunt
def test_a_thousand_replays_and_forks_of_a_payment_pay_nothing(finished: Any, part: Part) -> None:
    go_back(finished, part.number(1000), random.Random(SEED + part.index))


def go_back(finished: Any, times: int, chance: random.Random) -> None:
    replays = Replays(finished, chance)
    ways = [replays.go_on, replays.approve_again, replays.fork, replays.forget, replays.copy]
    for number in range(times):
        way = ways[number % len(ways)]
        # Before intake there is no run yet: going on from there is another run, whose payment is asked about anew.
        past = chance.choice([moment for moment in replays.moments if "run" in moment.values or way == replays.go_on])
        thread = way(past)
        assert payments(finished) == [("ann", 5)], (number, way.__name__, past.next)
        assert replays.effect.approval_id not in [question["approval_id"] for question in replays.asked(thread)]
        if number % 50 == 49:
            replays.moments.append(replays.graph.get_state(finished.config))  # so that replays are replayed
    assert finished.ledger.effects.of_run("r-1") == [replays.effect]


def test_a_fork_that_changes_the_amount_is_asked_about_and_only_its_own_approval_pays_it(finished: Any) -> None:
    change_amounts(finished, 15, random.Random(SEED))


@pytest.mark.hunt
def test_of_many_forks_that_change_the_amount_each_is_paid_by_its_own_approval(finished: Any, part: Part) -> None:
    change_amounts(finished, part.number(150), random.Random(SEED + part.index))


def change_amounts(finished: Any, times: int, chance: random.Random) -> None:
    replays = Replays(finished, chance)
    expected = [("ann", 5)]
    verdicts = [("approve", "reject")[number % 2] for number in range(times)]
    chance.shuffle(verdicts)
    for number, verdict in enumerate(verdicts):
        euros = 1000 + number
        thread = replays.change(chance.choice([moment for moment in replays.moments if "run" in moment.values]), euros)
        (question,) = replays.asked(thread)
        assert question["approval_id"] != replays.effect.approval_id
        assert question["action_requests"][0]["args"] == {"to": "ann", "euros": euros}
        stale = {"type": "approve", "approval_id": replays.effect.approval_id}
        finished.answer({"decisions": [stale]})
        assert payments(finished) == expected
        expected += [("ann", euros)] if verdict == "approve" else []
        finished.answer({"decisions": [{"type": verdict, "approval_id": question["approval_id"]}]})
        assert payments(finished) == expected
    assert len(expected) - 1 == verdicts.count("approve") > 0
