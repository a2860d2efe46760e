"""What somebody brings who comes from LangGraph: tools and models of LangChain, and what only ToolNode heeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from langchain.tools import ToolRuntime
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.runtime import get_runtime
from langgraph.types import Command, interrupt

from signoff import Agent, Artifact, Ledger, Policy, Run, Supervisor, Task, Team, tool
from signoff.errors import CommandReturned, OwnInterrupt, TeamError
from signoff.testing import ScriptedModel, calls, gives


class Story(Artifact):
    text: str


def teller(*script: Any, **fields: Any) -> Agent[Story]:
    return Agent(role="teller", gives=Story, model=ScriptedModel([*script, gives(Story(text="Sea."))]), **fields)


@langchain_tool
def by_runtime(word: str, runtime: ToolRuntime) -> str:
    """Look a word up."""
    return word


@langchain_tool
def by_state(word: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Look a word up."""
    return word


@langchain_tool
def by_call(word: str, call: Annotated[str, InjectedToolCallId]) -> str:
    """Look a word up."""
    return f"{word} in {call}"


@pytest.mark.parametrize(("given", "name"), [(by_runtime, "runtime"), (by_state, "state")])
@pytest.mark.parametrize("risk", ["read", "external"])
def test_a_tool_that_wants_what_only_a_tool_node_gives_is_refused(
    given: BaseTool, name: str, risk: Literal["read", "external"]
) -> None:
    with pytest.raises(TeamError, match=f"'{name}' is filled in by LangGraph's ToolNode.*get_runtime"):
        tool(risk=risk)(given)


def test_a_tool_of_the_loop_is_given_the_id_of_its_call_and_no_action_is(ledger: Ledger) -> None:
    agent = teller(calls("by_call", word="sea"), tools=(tool(risk="read")(by_call),))
    Team(agents=[agent], ledger=ledger).compile().invoke({"goal": "sea"})
    assert isinstance(agent.model, ScriptedModel)
    assert "sea in call_1_1" in str(agent.model.calls[-1].messages[-1].content)
    with pytest.raises(TeamError, match="'call' is filled in"):
        tool(risk="external")(by_call)


def test_context_and_thread_are_there_in_a_tool_and_in_an_action(ledger: Ledger) -> None:
    seen: list[Any] = []

    @tool(risk="read")
    def look_up(word: str) -> str:
        """Look a word up."""
        seen.append((get_runtime().context, get_config()["configurable"]["thread_id"]))
        return word

    @langchain_tool
    def send(word: str, config: RunnableConfig) -> str:
        """Send a word."""
        seen.append((get_runtime().context, config["configurable"]["thread_id"]))
        return word

    agent = teller(calls("look_up", word="a"), calls("send", word="b"), tools=(look_up, tool(risk="external")(send)))
    team = Team(agents=[agent], policy=Policy({"send": "allow"}), ledger=ledger)
    where: RunnableConfig = {"configurable": {"thread_id": "t-1"}}
    context: Any = {"user": "ann"}
    state = team.compile(checkpointer=InMemorySaver()).invoke({"goal": "go"}, where, context=context)
    assert seen == [({"user": "ann"}, "t-1")] * 2
    assert state["outcomes"][0]["result"] == {"result": "b"}


def test_a_command_that_a_tool_returns_is_an_error_and_no_text_for_the_model(ledger: Ledger) -> None:
    @tool(risk="read")
    def hand_over(to: str) -> Any:
        """Hand over."""
        return Command(goto=to)

    team = Team(agents=[teller(calls("hand_over", to="bob"), tools=(hand_over,))], ledger=ledger)
    with pytest.raises(CommandReturned, match=r"'hand_over' returned a Command.*needs and gives"):
        team.compile().invoke({"goal": "go"})


SCHEMA = {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}


def test_a_tool_of_langchains_mcp_adapters_is_an_action_with_its_servers_schema(ledger: Ledger) -> None:
    async def close(runtime: Any = None, **arguments: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return [{"type": "text", "text": f"closed: {arguments['reason']}"}], {"structured_content": {}}

    theirs = StructuredTool(
        name="close", description="Closes.", args_schema=SCHEMA, coroutine=close, response_format="content_and_artifact"
    )
    script = [calls("close", reason=7), calls("close", reason="storm")]
    agent = teller(*script, tools=(tool(risk="external")(theirs),))
    state = (
        Team(agents=[agent], policy=Policy({"close": "allow"}), ledger=ledger)
        .compile(checkpointer=InMemorySaver())
        .invoke({"goal": "go"}, {"configurable": {"thread_id": "1"}})
    )
    (outcome,) = state["outcomes"]
    assert outcome["args"] == {"reason": "storm"}
    assert outcome["result"] == {"result": [{"type": "text", "text": "closed: storm"}]}


class Own(BaseChatModel):
    """A chat model of somebody's own that cannot be given tools."""

    model_name: str = "own"
    said: list[str]

    @property
    def _llm_type(self) -> str:
        return "own"

    def _generate(self, messages: list[BaseMessage], *_args: Any, **_options: Any) -> ChatResult:
        done = sum(isinstance(one, AIMessage) for one in messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.said[done]))])


def test_a_model_whose_class_cannot_be_given_tools_answers_in_json(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"own": 0}')
    model = Own(said=[json.dumps({"tool": "give_Story", "arguments": {"text": "Sea."}})])
    agent = Agent(role="teller", gives=Story, model=model, tools=(tool(risk="read")(by_call),))
    state = Team(agents=[agent], ledger=ledger).compile().invoke({"goal": "sea"})
    assert state["artifacts"]["Story"]["value"] == {"text": "Sea."}


MODEL = ScriptedModel([])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("openai:gpt-5", r"the text 'openai:gpt-5'.*load_models\(Settings\(\), 'openai:gpt-5'\)"),
        (MODEL.with_retry(), "is a RunnableRetry. Give the chat model itself"),
        (MODEL.with_fallbacks([MODEL]), "is a RunnableWithFallbacks"),
        (MODEL.bind(stop=["x"]), "Binding"),
    ],
)
def test_what_is_no_chat_model_is_refused_when_the_team_is_put_together(model: Any, reason: str) -> None:
    with pytest.raises(TeamError, match=f"'teller': its model is .*{reason}" if "is a" not in reason else reason):
        Agent(role="teller", gives=Story, model=model)
    with pytest.raises(TeamError, match="Supervisor: its model is "):
        Supervisor(model=model)


def test_a_tool_node_is_no_list_of_tools() -> None:
    tools: Sequence[Any] = ToolNode([by_call])  # type: ignore[assignment]  # what is tested
    with pytest.raises(TeamError, match="its tools are a ToolNode"):
        teller(tools=tools)


def test_a_run_says_that_an_agent_asks_by_itself_and_a_graph_answers_it() -> None:
    def ask(task: Task) -> Story:
        return Story(text=interrupt("Which sea?"))

    team = Team(name="asks", agents=[Agent(role="teller", gives=Story, function=ask)])
    run = Run.start(team, "sea", drive=False)
    for _ in range(2):
        with pytest.raises(OwnInterrupt, match=r"interrupt\('Which sea\?'\) itself.*ask_person"):
            run.resume()
    assert run.status == "failed"
    graph, where = team.compile(checkpointer=InMemorySaver()), RunnableConfig(configurable={"thread_id": "1"})
    graph.invoke({"goal": "sea"}, where)
    resumed: Any = Command(resume="North")
    assert graph.invoke(resumed, where)["artifacts"]["Story"]["value"] == {"text": "North"}


def test_a_graph_is_no_agent_and_no_function_of_one_and_a_dict_is_no_artifact() -> None:
    graph: Any = Team(name="inner", agents=[teller()]).compile()
    with pytest.raises(TeamError, match=r"is a CompiledStateGraph\. Let an agent do its work"):
        Team(agents=[graph])
    with pytest.raises(TeamError, match=r"its function is a CompiledStateGraph\. Give a function"):
        Agent(role="teller", gives=Story, function=graph)
    some: Any = dict
    with pytest.raises(TeamError, match=r"gives <class 'dict'>\. Let it be a subclass of signoff\.Artifact"):
        Agent(role="teller", gives=some, function=graph.invoke)
