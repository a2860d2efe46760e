"""Ten thousand answers at a paused thread: none raises, none wedges it, none but an approval approves."""

import json
import string
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hunts import Part
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

APPROVING, EDITING = {"approve", "accept"}, {"edit"}
WORDS = ("approve", "accept", "edit", "reject", "respond", "response", "ignore", "yes", "no", "maybe", "ok", "", "true")
KEYS = ("type", "decisions", "args", "arguments", "name", "action", "edited_action", "message", "approval_id", "to")
ARGS = {"to": "ann", "euros": 5}
VALID: tuple[Any, ...] = (
    {"decisions": [{"type": "approve"}]},
    [{"type": "accept", "args": None}],
    [{"type": "accept", "args": {"action": "pay", "args": ARGS}}],
    {"type": "approve"},
    "approve",
    {"decisions": [{"type": "edit", "edited_action": {"name": "pay", "args": ARGS}}]},
    [{"type": "edit", "args": {"action": "pay", "args": {"to": "ann", "euros": "5"}}}],
    {"decisions": [{"type": "reject", "message": "no"}]},
    {"type": "respond", "message": "why?"},
)

texts = st.sampled_from(WORDS) | st.text(max_size=8) | st.text(alphabet="\0\ud800\u202e'\"{}[]", max_size=4)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=2**80)
    | st.floats(allow_nan=True)
    | texts
    | st.binary(max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@st.composite
def mutations(draw: Any) -> Any:
    """A valid answer with one to three places changed: another value, one left out, one doubled, one wrapped."""
    answer = [deepcopy(draw(st.sampled_from(VALID)))]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(places(answer))))
        match draw(st.sampled_from(["change", "drop", "double", "wrap", "text", "key"])):
            case "change":
                holder[key] = draw(values)
            case "drop" if len(answer) > 1 or holder is not answer:
                del holder[key]
            case "double":
                holder[key] = [holder[key], deepcopy(holder[key])]
            case "wrap":
                holder[key] = {draw(st.sampled_from(KEYS) | texts): holder[key]}
            case "text" if is_json(holder[key]):
                holder[key] = json.dumps(holder[key])
            case "key" if isinstance(holder[key], dict):
                holder[key][draw(st.sampled_from(KEYS))] = draw(values)
    return answer[0]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value, as its holder and the key in it."""
    found = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, inner in list(found):
        yield value, key
        yield from places(inner)


def is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def is_storable(value: Any) -> bool:
    try:
        InMemorySaver().serde.dumps_typed(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def words_in(value: Any) -> list[str]:
    """Every word of an answer, those in JSON texts as well."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return [value.strip().lower()]
        return [value.strip().lower(), *(words_in(parsed) if not isinstance(parsed, str) else [])]
    if isinstance(value, dict):
        return [word for pair in value.items() for part in pair for word in words_in(part)]
    if isinstance(value, list | tuple):
        return [word for part in value for word in words_in(part)]
    return []


class Waiting:
    """A thread that waits at the gate; a new one once it was decided."""

    def __init__(self, office: Any) -> None:
        self.office, self.number = office, 0
        self.begin()

    def begin(self) -> None:
        self.number += 1
        self.office.saver = InMemorySaver()
        self.graph = self.office.team.compile(checkpointer=self.office.saver)
        self.config = {"configurable": {"thread_id": f"r-{self.number}"}}
        self.question = self.office.question(self.graph.invoke({"goal": "pay ann"}, self.config))

    def answer(self, answer: Any) -> Any:
        return self.graph.invoke(Command(resume=answer), self.config)

    def meet(self, answer: Any) -> None:
        """Give an answer; it decides nothing, or is a decision, and the thread is whole either way."""
        before = len(self.office.paid)
        if answer is None or not is_storable(answer):
            # LangGraph itself refuses these, before the gate sees them: nothing is saved.
            with pytest.raises((UnboundLocalError, TypeError, ValueError, OverflowError)):
                self.answer(answer)
            return
        result = self.answer(answer)
        approval = self.office.ledger.approvals.get(self.question["approval_id"])
        words, paid = set(words_in(answer)), len(self.office.paid) - before
        if approval.status == "pending":
            assert paid == 0
            (question,) = result["__interrupt__"]
            assert question.value["approval_id"] == self.question["approval_id"]
            return
        assert paid == (approval.status == "approved")
        if approval.status == "approved":
            assert words & (APPROVING | EDITING), answer
            assert approval.args == ARGS or words & EDITING, answer
            assert self.office.paid[-1][:2] == (approval.args["to"], approval.args["euros"])
        else:
            assert words & {"reject", "respond", "response", "ignore"}, answer
        self.begin()

    def still_works(self) -> None:
        """A good answer is still understood."""
        before = len(self.office.paid)
        self.answer({"decisions": [{"type": "approve"}]})
        assert len(self.office.paid) == before + 1


ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Answers are read before any database is asked."""


@ONE_DATABASE
@pytest.mark.parametrize("kind", ["random", "mutated"])
def test_no_answer_raises_or_wedges_the_thread_and_only_an_approval_approves(office: Any, kind: str) -> None:
    meet_all(office, kind, 100)


@ONE_DATABASE
@pytest.mark.hunt
@pytest.mark.parametrize("kind", ["random", "mutated"])
def test_no_answer_of_thousands_raises_or_wedges_the_thread(office: Any, kind: str, part: Part) -> None:
    meet_all(office, f"{kind} {part.index}", part.number(5_000))


def meet_all(office: Any, kind: str, answers: int) -> None:
    """Give so many answers; what they are depends on the kind alone."""
    thread = Waiting(office)
    strategy = values if kind.startswith("random") else mutations()

    @settings(
        max_examples=answers,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy, st.just(kind))
    def run(answer: Any, _kind: str) -> None:
        thread.meet(answer)

    run()
    thread.still_works()


def test_the_words_of_an_answer_are_found_wherever_they_stand() -> None:
    assert "approve" in words_in([{"type": json.dumps({"type": "APPROVE "})}])
    assert set(string.ascii_lowercase[:3]) == set(words_in(("a", ["b"], {"c": 1})))
