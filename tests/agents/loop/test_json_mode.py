"""Models without tool calls answer with one action as JSON."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from signoff import Action, Agent, Artifact, Task
from signoff.agents.runner import StepFailed, Work, do_work
from signoff.errors import ModelRefused
from signoff.testing import Call, ScriptedModel, ScriptedServer, calls, fails, gives
from signoff.tools.tool import tool


class Part(BaseModel):
    title: str
    weight: float = Field(0.5, ge=0, le=1)


class Story(Artifact):
    """A story."""

    text: str = Field(description="The whole of it")
    mood: Literal["sad", "glad"] = "glad"
    parts: tuple[Part, ...] = ()


class Mail(BaseModel):
    to: str


@tool(risk="read")
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} means sea"


SEND: Action[Mail] = Action(name="send_mail", description="Sends.", arguments=Mail, call=lambda mail, key: {})
TASK = Task(goal="a tale")
LOOK = gives({"tool": "look_up", "arguments": {"word": "mare"}})
GIVE = gives({"tool": "give_Story", "arguments": {"text": "waves"}})
ALONE = gives({"text": "waves"})


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_JSON_ACTIONS", "true")


def teller(model: Any, **more: Any) -> Agent[Story]:
    return Agent(role="teller", gives=Story, instructions="Tell it.", model=model, **more)


def work_on(*script: Any, **more: Any) -> tuple[Work, ScriptedModel]:
    model = ScriptedModel(list(script))
    return do_work(teller(model, **more), TASK), model


@pytest.mark.usefixtures("as_json")
def test_a_step_is_done_with_one_json_object_for_each_turn() -> None:
    work, model = work_on(
        LOOK, gives({"tool": "send_mail", "arguments": {"to": "ann"}}), GIVE, tools=(look_up,), actions=(SEND,)
    )
    assert work.artifact == Story(text="waves")
    assert [proposal.args for proposal in work.proposals] == [{"to": "ann"}]
    assert all(call.tools == () for call in model.calls)
    assert [message.type for message in model.calls[2].messages] == ["system", "human", "ai", "human", "ai", "human"]
    assert "mare means sea" in model.calls[1].last
    for word in ("look_up", "send_mail", "give_Story", "The whole of it", '"sad"'):
        assert word in model.calls[0].system


def formats(model: ScriptedModel) -> list[dict[str, Any]]:
    return [(call.response_format or {})["json_schema"]["schema"] for call in model.calls]


@pytest.mark.usefixtures("as_json")
def test_the_schema_allows_what_is_offered_and_has_an_end_everywhere() -> None:
    _, model = work_on(GIVE, tools=(look_up,))
    schema = formats(model)[0]
    check = Draft202012Validator(schema)
    assert check.is_valid({"tool": "look_up", "arguments": {"word": "x"}})
    assert not check.is_valid({"tool": "look_up", "arguments": {"text": "x"}})
    assert not check.is_valid({"tool": "fly", "arguments": {}})
    assert not check.is_valid({"tool": "give_Story", "arguments": {"text": "x" * 2_001}})
    assert not check.is_valid({"tool": "give_Story", "arguments": {"text": "x", "parts": [{"title": "t"}] * 25}})
    assert '"maximum"' not in json.dumps(schema)


@pytest.mark.usefixtures("as_json")
def test_without_anything_to_call_the_form_itself_is_asked_for() -> None:
    work, model = work_on(ALONE)
    assert work.artifact == Story(text="waves")
    assert formats(model)[0]["properties"].keys() == {"text", "mood", "parts"}


@pytest.mark.usefixtures("as_json")
def test_an_action_that_is_not_offered_and_a_form_that_does_not_fit_are_answered() -> None:
    broken = '{"tool": "give_Story", "arguments": {"text": "x", "parts": [{"title": "t", "weight": 7}]}}'
    work, model = work_on('{"tool": "fly", "arguments": {}}', broken, GIVE, tools=(look_up,))
    assert work.artifact == Story(text="waves")
    assert "There is no tool 'fly'" in model.calls[1].last
    assert "parts.0.weight" in model.calls[2].last


@pytest.mark.usefixtures("as_json")
def test_words_are_answered_once_and_then_the_step_fails() -> None:
    work, model = work_on("Sure!", GIVE, tools=(look_up,))
    assert work.artifact == Story(text="waves")
    assert "one JSON object" in model.calls[1].last
    with pytest.raises(StepFailed, match="answered in words, twice"):
        work_on("Sure!", "Of course!", GIVE, tools=(look_up,))


@pytest.mark.usefixtures("as_json")
def test_a_model_that_goes_in_circles_may_only_give_the_form() -> None:
    work, model = work_on(LOOK, LOOK, LOOK, GIVE, tools=(look_up,))
    assert work.artifact == Story(text="waves")
    assert not Draft202012Validator(formats(model)[3]).is_valid({"tool": "look_up", "arguments": {"word": "x"}})


def test_a_model_that_twice_calls_no_tool_is_asked_for_json_and_that_is_remembered() -> None:
    model = ScriptedModel(["Let me think.", "The sea!", LOOK, GIVE, LOOK, GIVE])
    agent = teller(model, tools=(look_up,))
    assert do_work(agent, TASK).artifact == Story(text="waves")
    assert [bool(call.tools) for call in model.calls] == [True, True, False, False]
    do_work(agent, TASK)
    assert [bool(call.tools) for call in model.calls[4:]] == [False, False]


def test_what_another_step_finds_out_meanwhile_changes_nothing_for_an_answer_under_way() -> None:
    agents: list[Agent[Story]] = []

    def answer(call: Call) -> Any:
        if "first" not in call.text:
            return "Words." if call.tools else GIVE
        if "mare means sea" in call.text:
            return GIVE if call.response_format else gives(Story(text="waves"))
        do_work(agents[0], Task(goal="another"))  # finds out that the model has no tools
        return calls("look_up", word="mare")

    agents.append(teller(ScriptedModel(answer), tools=(look_up,)))
    assert do_work(agents[0], Task(goal="first")).artifact == Story(text="waves")


def test_an_endpoint_that_refuses_tools_is_asked_for_json_and_that_is_remembered() -> None:
    refusal = fails(400, "tools param requires --jinja flag")
    with ScriptedServer([refusal, LOOK, GIVE, GIVE]) as server:
        for _ in range(2):
            model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test", max_retries=0)
            assert do_work(teller(model, tools=(look_up,)), TASK).artifact == Story(text="waves")
        asked = [bool(call.tools) for call in server.calls]
    assert asked == [True, False, False, False]


def test_tool_calls_are_kept_where_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_JSON_ACTIONS", "false")
    with pytest.raises(StepFailed, match="answered in words, twice"):
        work_on("Let me think.", "The sea!", GIVE, tools=(look_up,))
    with ScriptedServer([fails(400, "no tools here")]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test", max_retries=0)
        with pytest.raises(ModelRefused):
            do_work(teller(model, tools=(look_up,)), TASK)


def test_calls_made_before_the_change_are_told_in_words() -> None:
    model = ScriptedModel([calls("look_up", word="mare"), "Hm.", "Hm.", GIVE, gives(Story(text="tides"))])
    agent = teller(model, tools=(look_up,))
    do_work(agent, TASK)
    last = model.calls[3]
    assert {message.type for message in last.messages} == {"system", "human", "ai"}
    assert '"tool": "look_up"' in last.text
    assert "mare means sea" in last.text
    do_work(agent, TASK)
    assert model.calls[4].tools, "a model that called tools once has them"
