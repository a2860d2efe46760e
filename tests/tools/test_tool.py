"""The contract of tools: what reads or works in a sandbox runs in an agent's loop; all else can only be proposed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, tool as langchain_tool
from pydantic import BaseModel, Field, ValidationError

from signoff.agents.agent import Agent
from signoff.agents.artifacts import Artifact
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import TeamError
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools.action import Action
from signoff.tools.tool import IdempotencyKey, Tool, ToolLimits, Touches, tool


class Found(Artifact):
    """What was found."""

    text: str


class Sent(Artifact):
    """What was sent."""


class Letter(BaseModel):
    """A letter."""

    to: str = Field(description="Who gets it")


def test_the_signature_of_a_tool_is_not_worked_out_at_a_call() -> None:
    """LangChain asks for that of the tool's own method, and for the types in it, at every call."""

    @tool(risk="read")
    async def look(query: str) -> str:
        """Look."""
        return query

    @tool(risk="read")
    def see(query: str, config: RunnableConfig) -> str:
        """See."""
        return f"{query} {config['metadata']['seen']}"

    seen: list[str] = []

    def hear(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_signature_from_function":
            seen.append(frame.f_locals["func"].__name__)

    sys.setprofile(hear)
    try:
        answers = [
            asyncio.run(look.ainvoke({"query": "Where?"})),
            see.invoke({"query": "?"}, {"metadata": {"seen": 1}}),
        ]
    finally:
        sys.setprofile(None)
    assert answers == ["Where?", "? 1"]
    assert {"_run", "_arun"}.isdisjoint(seen)


def finder(script: list[Any], **fields: Any) -> Agent[Found]:
    return Agent(role="finder", gives=Found, model=ScriptedModel(script), **fields)


def run(agent: Agent[Found], ledger: Ledger, policy: Policy | None = None) -> dict[str, Any]:
    result: dict[str, Any] = (
        Team(agents=[agent], policy=policy or Policy(), ledger=ledger).compile().invoke({"goal": "g"})
    )
    return result


def test_a_typed_function_with_a_docstring_becomes_a_tool() -> None:
    @tool(risk="read", touches=Touches(reads=("docs",)), limits=ToolLimits(seconds=5))
    def look_up(word: str, times: int = 1) -> str:
        """Look a word up.

        Args:
            word: What to look for.
        """
        return word * times

    assert isinstance(look_up, Tool)
    assert (look_up.name, look_up.description, look_up.risk) == ("look_up", "Look a word up.", "read")
    assert look_up.args["word"]["description"] == "What to look for."
    assert (look_up.touches, look_up.limits.seconds) == (Touches(reads=("docs",)), 5)
    assert look_up.invoke({"word": "a", "times": 2}) == "aa"


def test_an_async_function_becomes_a_tool() -> None:
    @tool(risk="sandboxed")
    async def look_up(word: str) -> str:
        """Look a word up."""
        return word

    assert asyncio.run(look_up.ainvoke({"word": "a"})) == "a"


def test_a_function_with_an_effect_becomes_an_action_which_has_no_way_to_be_invoked() -> None:
    @tool(risk="external", idempotent=True, touches=Touches(hosts=("mail.example.org",)))
    def send(to: str, copies: int = 1) -> dict[str, Any]:
        """Send a letter.

        Args:
            to: Who gets it.
        """
        return {"to": to, "copies": copies}

    assert isinstance(send, Action)
    assert not isinstance(send, BaseTool)
    assert not hasattr(send, "invoke")
    assert not callable(send)
    assert (send.risk, send.idempotent, send.description) == ("external", True, "Send a letter.")
    assert send.arguments.model_fields["to"].description == "Who gets it."
    assert send.propose({"to": "a"}, "why") == send.propose(send.arguments.model_validate({"to": "a"}), "why")
    with pytest.raises(ValidationError):
        send.propose({"to": "a", "bcc": "b"})
    with pytest.raises(ValidationError):
        send.arguments.model_validate({"to": "a", "bcc": "b"})


@pytest.mark.parametrize("waits", [False, True])
def test_an_action_is_given_its_key_where_its_function_asks_for_it(waits: bool) -> None:
    def send(to: str, key: IdempotencyKey) -> dict[str, Any]:
        """Send a letter."""
        return {"to": to, "key": key}

    async def send_slowly(to: str, key: IdempotencyKey) -> dict[str, Any]:
        """Send a letter."""
        return {"to": to, "key": key}

    action = tool(risk="external")(send_slowly if waits else send)
    assert list(action.arguments.model_fields) == ["to"]

    async def call_amid_a_loop() -> Any:
        return action.call(action.arguments(to="a"), "k")

    assert action.call(action.arguments(to="a"), "k") == {"to": "a", "key": "k"}
    assert asyncio.run(call_amid_a_loop()) == {"to": "a", "key": "k"}


@pytest.mark.parametrize(
    ("returned", "kept"),
    [(None, {}), ("sent", {"result": "sent"}), (Letter(to="a"), {"to": "a"}), ({"n": 1}, {"n": 1})],
)
def test_whatever_an_actions_function_returns_becomes_a_mapping(returned: Any, kept: Any) -> None:
    def send(to: str) -> Any:
        """Send a letter."""
        return returned

    action = tool(risk="external")(send)
    assert action.call(action.arguments(to="a"), "k") == kept


def test_a_langchain_tool_is_given_a_risk() -> None:
    @langchain_tool
    def look_up(word: str) -> str:
        """Look a word up."""
        return word.upper()

    class Old(BaseTool):
        name: str = "old"
        description: str = "An old one."
        args_schema: type[BaseModel] = Letter

        def _run(self, to: str) -> str:
            return f"to {to}"

    assert tool(risk="read")(look_up).invoke({"word": "a"}) == "A"
    assert tool(risk="read", name="old_one")(Old()).invoke({"to": "a"}) == "to a"
    action = tool(risk="write")(Old())
    assert action.call(action.arguments(to="a"), "k") == {"result": "to a"}


def no_docstring(word: str) -> str:
    return word


def no_type(word) -> str:  # type: ignore[no-untyped-def]  # what is tested
    """Look it up."""
    return str(word)


def no_names(*words: str) -> str:
    """Look them up."""
    return " ".join(words)


@pytest.mark.parametrize(
    ("function", "reason"),
    [(no_docstring, "has no docstring"), (no_type, "'word' has no type"), (no_names, "has no name to be given by")],
)
def test_a_function_that_a_model_could_not_be_told_of_is_no_tool(function: Any, reason: str) -> None:
    with pytest.raises(TeamError, match=reason):
        tool(risk="read")(function)


def test_a_decorator_without_a_risk_says_how_it_is_written() -> None:
    bare: Any = tool
    for decorate in (bare, bare(), lambda function: bare(function, risk="read")):
        with pytest.raises(TeamError, match=r"'no_names': say its risk in parentheses, as in @tool\(risk='read'\)"):
            decorate(no_names)


def test_a_risk_that_there_is_not_is_refused() -> None:
    with pytest.raises(TeamError, match="'harmless' is no risk"):
        tool(risk="harmless")(no_docstring)  # type: ignore[call-overload]  # what is tested


def test_what_is_for_actions_only_is_refused_for_a_tool_of_the_loop() -> None:
    with pytest.raises(TeamError, match="'reconcile' is for actions"):
        tool(risk="read", reconcile=lambda args, key: None)(no_docstring)  # type: ignore[call-overload]  # what is tested


def test_an_action_of_json_schema_is_held_to_it_and_one_that_cannot_be_used_is_refused() -> None:
    fields = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    action = tool(risk="external")(StructuredTool(name="wild", description="Wild.", args_schema=fields, func=print))
    assert action.propose({"word": "sea"}).args == {"word": "sea"}
    with pytest.raises(ValidationError, match="word: 7 is not of type 'string'"):
        action.propose({"word": 7})
    with pytest.raises(TeamError, match="its arguments' schema cannot be used"):
        tool(risk="external")(StructuredTool(name="wild", description="Wild.", args_schema={"type": 7}, func=print))


def test_wrong_arguments_are_answered_in_words() -> None:
    @tool(risk="read")
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    assert look_up.invoke({}) == "look_up was called wrongly. word: Field required. Call it again with these put right."


def test_one_list_of_tools_is_sorted_into_the_loop_and_the_gate(ledger: Ledger) -> None:
    done: list[str] = []

    @tool(risk="read")
    def look_up(word: str) -> str:
        """Look a word up."""
        done.append(f"looked {word} up")
        return "a small animal"

    @tool(risk="external")
    def send(to: str) -> None:
        """Send a letter."""
        done.append(f"sent to {to}")

    script = [calls("look_up", word="ant"), calls("send", to="Ann"), gives(Found(text="a small animal"))]
    result = run(finder(script, tools=(look_up, send)), ledger, Policy({"send": "ask"}))
    assert done == ["looked ant up"]
    assert result["__interrupt__"][0].value["action_requests"][0]["args"] == {"to": "Ann"}


# Ways round it


def sending(done: list[str]) -> Action[Any]:
    @tool(risk="external")
    def send(to: str) -> None:
        """Send a letter."""
        done.append(to)

    return send


def test_a_tool_without_a_risk_is_no_agents_tool() -> None:
    @langchain_tool
    def send(to: str) -> str:
        """Send a letter."""
        return to

    with pytest.raises(TeamError, match="the tool 'send' does not say its risk"):
        finder([], tools=(send,))
    tools: Any = ((sending([]),),)
    with pytest.raises(TeamError, match="there is a tuple among its tools"):
        finder([], tools=tools)
    with pytest.raises(TeamError, match="its tools are one tool, 'send'"):
        finder([], tools=tools[0][0])


def test_what_is_no_action_cannot_be_among_an_agents_actions() -> None:
    @langchain_tool
    def send(to: str) -> str:
        """Send a letter."""
        return to

    with pytest.raises(TeamError, match="'send' among its actions is a StructuredTool"):
        Agent(role="clerk", gives=Found, function=lambda task: Found(text="x"), actions=(send,))  # type: ignore[arg-type]  # what is tested


def test_what_happens_to_a_list_of_tools_later_changes_no_agent() -> None:
    send = sending([])
    given: list[Any] = []
    agent = Agent(role="clerk", gives=Found, function=lambda task: Found(text="x"), tools=given)
    given.append(send)
    assert agent.at_gate == ()


def test_a_tool_cannot_be_given_another_risk_once_it_is_made() -> None:
    @tool(risk="read")
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    field = "risk"
    with pytest.raises(ValidationError):
        setattr(look_up, field, "external")
    with pytest.raises(ValidationError):
        Tool(**{**dict(look_up), "risk": "external"})
    with pytest.raises(TeamError, match="does not say its risk"):
        finder([], tools=(look_up.model_copy(update={"risk": "external"}),))


def test_a_tool_whose_risk_is_changed_behind_the_agents_back_is_not_called(ledger: Ledger) -> None:
    done: list[str] = []

    @tool(risk="read")
    def look_up(word: str) -> str:
        """Look a word up."""
        done.append(word)
        return word

    agent = finder([calls("look_up", word="ant"), gives(Found(text="x"))], tools=(look_up,))
    look_up.__dict__["risk"] = "external"
    run(agent, ledger)
    assert done == []


def test_something_that_only_looks_like_a_tool_is_refused() -> None:
    class Lookalike:
        name, risk, description = "send", "read", "Send a letter."

        def invoke(self, *_: Any) -> None:
            raise AssertionError("it was called")

    with pytest.raises(TeamError, match="'send' does not say its risk"):
        finder([], tools=(Lookalike(),))


def test_an_action_that_says_it_only_reads_is_refused() -> None:
    with pytest.raises(TeamError, match="'read' is no risk of an action"):
        Action(name="send", description="Send.", arguments=Letter, call=lambda args, key: {}, risk="read")  # type: ignore[arg-type]  # what is tested


def test_a_model_that_calls_an_action_like_a_tool_only_proposes_it(ledger: Ledger) -> None:
    done: list[str] = []
    script = [calls("send", to="Ann"), calls("send", to="Bob"), gives(Found(text="x"))]
    result = run(finder(script, tools=(sending(done),)), ledger)  # no policy names it
    assert done == []
    assert [outcome["status"] for outcome in result["outcomes"]] == ["denied", "denied"]


def test_a_tool_that_hides_an_action_of_the_same_name_is_refused(ledger: Ledger) -> None:
    @tool(risk="read", name="send")
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    with pytest.raises(TeamError, match="two tools named 'send'"):
        run(finder([gives(Found(text="x"))], tools=(look_up, sending([]))), ledger)


def test_an_action_of_another_agent_cannot_be_called_or_proposed(ledger: Ledger) -> None:
    done: list[str] = []
    agent = finder([calls("send", to="Ann"), gives(Found(text="x"))])
    sender = Agent(
        role="sender", gives=Sent, needs=(Found,), model=ScriptedModel([gives(Sent())]), tools=(sending(done),)
    )
    team = Team(agents=[agent, sender], policy=Policy({"send": "allow"}), ledger=ledger)
    result = team.compile().invoke({"goal": "g"})
    assert done == []
    assert result["outcomes"] == []


# Limits


def test_a_tool_that_takes_too_long_is_left_and_the_model_is_told(ledger: Ledger) -> None:
    @tool(risk="read", limits=ToolLimits(seconds=0.05))
    async def wait(word: str) -> str:
        """Wait for ever."""
        await asyncio.Event().wait()
        return word

    model = ScriptedModel([calls("wait", word="a"), gives(Found(text="x"))])
    run(Agent(role="finder", gives=Found, model=model, tools=(wait,)), ledger)
    assert "wait gave nothing within 0.05 seconds and was left" in str(model.calls[1].messages[-1].content)


def test_a_result_is_cut_at_the_tools_own_limit(ledger: Ledger) -> None:
    @tool(risk="read", limits=ToolLimits(characters=10))
    def look_up(word: str) -> str:
        """Look a word up."""
        return word * 100

    model = ScriptedModel([calls("look_up", word="a"), gives(Found(text="x"))])
    run(Agent(role="finder", gives=Found, model=model, tools=(look_up,)), ledger)
    shown = str(model.calls[1].messages[-1].content)
    assert "aaaaaaaaaa\n[cut: these are the first 10 of 100 characters]" in shown


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"characters": -1}, {"seconds": float("nan")}])
def test_limits_that_allow_nothing_are_refused(wrong: Any) -> None:
    with pytest.raises(TeamError, match="lets no call be made"):
        ToolLimits(**wrong)


def test_what_a_tool_may_touch_is_said_in_one_line() -> None:
    touches = Touches(hosts=("api.github.com",), secrets=("github",), writes=(str(Path("out")),))
    assert str(touches) == "writes: out; hosts: api.github.com; secrets: github"
    assert str(Touches()) == ""
