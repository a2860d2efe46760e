"""A team whose endpoint fails in every way: each ends as docs/guards.md says, and nothing of the run is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from signoff import Agent, Artifact, Limits, Run, Team
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.errors import ModelRefused
from signoff.testing import ScriptedServer, calls, drops, fails, garbles, gives, hangs, refuses, says

FACTS, STORY = {"text": "salt"}, {"text": "waves"}

PASSING: dict[str, Any] = {
    "429": fails(429, retry_after=0.05),
    "500": fails(500),
    "time-out": hangs(),
    "closed": drops(),
    "cut off": drops("half of an answer"),
    "cut JSON": garbles(),
    "a page": garbles("<p>Bad gateway</p>", content_type="text/html"),
    "no choices": garbles('{"choices": []}'),
    "empty answer": says(""),
    "cut at its limit": says("a long", finish="length"),
    "10 MB answer": says("x" * 10_000_000),
    "broken arguments": calls("Story", '{"text": "wa'),
    "arguments that do not fit": calls("Story", text=7),
    "an unknown tool": calls("sing", song="loud"),
}
"""What one more call, or one word to the model, mends."""

LASTING: dict[str, tuple[Any, str]] = {
    "500": (fails(500), "gave no answer"),
    "time-out": (hangs(), "gave no answer"),
    "closed": (drops(), "gave no answer"),
    "cut JSON": (garbles(), "gave no answer"),
    "empty answer": (says(""), "nothing at all"),
    "cut at its limit": (says("a long", finish="length"), "cut twice"),
    "10 MB answer": (says("x" * 10_000_000), "cut twice"),
    "arguments that do not fit": (calls("Story", text=7), "no valid Story"),
    "a refusal": (refuses("I would rather not."), "would not answer"),
    "a content filter": (says("", finish="content_filter"), "would not answer"),
    "a prompt that is too long": (fails(400, "prompt is too long", code="context_length_exceeded"), "too long"),
}
"""What does not pass, and how a person is told."""


class Facts(Artifact):
    text: str


class Story(Artifact):
    text: str


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MODEL_TIMEOUT", "1")
    monkeypatch.setenv("SIGNOFF_MODEL_RETRIES", "1")


def team_at(server: ScriptedServer) -> Team:
    model = Endpoint(model="scripted", base_url=server.url, api_key="test", max_retries=0)
    limits = Limits(attempts=1, output_tokens=500)
    return Team(
        name="tale",
        agents=[
            Agent(role="finder", gives=Facts, model=model, limits=limits),
            Agent(role="teller", needs=(Facts,), gives=Story, model=model, limits=limits),
        ],
    )


def scripted(teller: Any) -> dict[str, Any]:
    return {"You are the finder": [gives(Facts(text="salt"))], "You are the teller": teller}


def stories(run: Run) -> dict[str, Any]:
    return {name: artifact["value"] for name, artifact in run.values["artifacts"].items()}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_passes_costs_a_call_and_no_more(fault: Any) -> None:
    with ScriptedServer(scripted([fault, gives(Story(text="waves"))])) as server:
        run = Run.start(team_at(server), "a tale")
        assert (run.status, run.approval) == ("done", None)
        assert stories(run) == {"Facts": FACTS, "Story": STORY}
        assert len(server.calls) == 3


@pytest.mark.parametrize(("fault", "told"), LASTING.values(), ids=LASTING.keys())
def test_a_fault_that_stays_is_told_to_a_person_and_the_run_goes_on_from_there(fault: Any, told: str) -> None:
    well = [False]

    def answer(_call: Any) -> Any:
        return gives(Story(text="waves")) if well[0] else fault

    respond: Callable[[Any], Any] = answer
    with ScriptedServer(scripted([respond] * 20)) as server:
        run = Run.start(team_at(server), "a tale")
        approval = run.approval
        assert approval is not None
        assert (run.status, approval.action) == ("waiting", "continue_run")
        assert told in approval.reason
        assert stories(run) == {"Facts": FACTS}
        well[0] = True
        assert run.approve().status == "done"
        assert stories(run) == {"Facts": FACTS, "Story": STORY}
        assert sum("You are the finder" in call.system for call in server.calls) == 1


def test_a_key_that_is_refused_ends_the_attempt_and_the_run_is_resumed_where_it_was() -> None:
    with ScriptedServer(scripted([fails(401), gives(Story(text="waves"))])) as server:
        team = team_at(server)
        run = Run.start(team, "a tale", drive=False)
        with pytest.raises(ModelRefused):
            run.resume()
        assert run.status == "failed"
        assert Run.open(run.id, team=team).resume().status == "done"
        assert sum("You are the finder" in call.system for call in server.calls) == 1
