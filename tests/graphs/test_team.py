import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph

from signoff import Agent, Artifact, Ledger, Policy, SignoffError, Task, Team

pytestmark = pytest.mark.smoke

APPROVE = {"decisions": [{"type": "approve"}]}


class Facts(Artifact):
    text: str


class Story(Artifact):
    text: str


def look(task: Task) -> Facts:
    return Facts(text=task.goal)


SCOUT = Agent(role="scout", gives=Facts, function=look)
TELLER = Agent(role="teller", needs=(Facts,), gives=Story, function=lambda task: Story(text=task.need(Facts).text))


def team(home: Path, *agents: Agent[Any]) -> Any:
    return Team(agents=agents or (SCOUT, TELLER), ledger=Ledger(home / "signoff.db"))


def test_the_graph_is_uncompiled_and_has_the_nodes_of_every_team(tmp_path: Path) -> None:
    graph = team(tmp_path).graph()
    assert isinstance(graph, StateGraph)
    assert set(graph.nodes) == {"intake", "supervisor", "scout", "teller", "gate", "act", "finish"}


def test_a_compiled_team_is_called_as_the_team_unless_it_is_given_another_name(tmp_path: Path) -> None:
    assert team(tmp_path).compile().name == "team"
    assert team(tmp_path).compile(name="desk").name == "desk"


def test_a_team_runs_without_a_checkpointer_while_nothing_needs_a_person(tmp_path: Path) -> None:
    result = team(tmp_path).compile().invoke({"goal": "sea"})
    assert result["artifacts"]["Story"]["value"] == {"text": "sea"}


def test_the_last_human_message_is_the_goal_of_a_conversation(tmp_path: Path) -> None:
    result = team(tmp_path).compile().invoke({"messages": [("user", "hills"), ("ai", "?"), ("user", "sea")]})
    assert result["run"]["goal"] == "sea"


def test_a_message_of_content_blocks_is_read_as_its_text(tmp_path: Path) -> None:
    message = HumanMessage([{"type": "text", "text": "sea"}])
    assert team(tmp_path).compile().invoke({"messages": [message]})["run"]["goal"] == "sea"


@pytest.mark.parametrize("given", [{"goal": ""}, {"goal": "  "}, {"messages": []}, {"messages": [("ai", "hello")]}])
def test_no_goal_is_one_clear_error(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(SignoffError, match="has no goal"):
        team(tmp_path).compile().invoke(given)


def test_async_and_sync_graphs_do_the_same(tmp_path: Path) -> None:
    async def dream(task: Task) -> Facts:
        await asyncio.sleep(0)
        return Facts(text="dreamt")

    graph = team(tmp_path, Agent(role="scout", gives=Facts, function=dream), TELLER).compile()
    asynchronous = asyncio.run(graph.ainvoke({"goal": "sea"}))
    assert asynchronous["artifacts"] == graph.invoke({"goal": "sea"})["artifacts"]
    assert asynchronous["artifacts"]["Story"]["value"] == {"text": "dreamt"}


def test_an_async_body_works_from_a_sync_graph_inside_a_running_loop(tmp_path: Path) -> None:
    async def dream(task: Task) -> Facts:
        await asyncio.sleep(0)
        return Facts(text="dreamt")

    graph = team(tmp_path, Agent(role="scout", gives=Facts, function=dream)).compile()

    async def notebook_cell() -> Any:
        return graph.invoke({"goal": "sea"})

    assert asyncio.run(notebook_cell())["artifacts"]["Facts"]["value"] == {"text": "dreamt"}


def test_an_async_graph_pauses_and_goes_on(office: Any) -> None:
    from langgraph.types import Command

    graph = office.team.compile(checkpointer=office.saver)
    first = asyncio.run(graph.ainvoke({"goal": "pay"}, office.config))
    assert office.question(first)["approval_id"]
    asyncio.run(graph.ainvoke(Command(resume=APPROVE), office.config))
    assert len(office.paid) == 1


def test_another_message_after_the_end_is_another_run_on_the_thread(tmp_path: Path) -> None:
    graph = team(tmp_path).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    first = graph.invoke({"messages": [("user", "sea")]}, config)
    second = graph.invoke({"messages": [("user", "hills")]}, config)
    assert (first["run"]["id"], second["run"]["id"]) == ("t", "t~2")
    assert second["artifacts"]["Story"]["value"] == {"text": "hills"}
    third = graph.invoke({"goal": "woods"}, config)
    assert third["artifacts"]["Story"]["value"] == {"text": "woods"}
    assert [message.text for message in third["messages"] if message.type == "human"] == ["sea", "hills", "woods"]


def test_the_same_goal_after_the_end_is_done_again(tmp_path: Path) -> None:
    graph = team(tmp_path).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"goal": "sea"}, config)
    assert graph.invoke({"goal": "sea"}, config)["run"]["id"] == "t~2"


def test_a_message_typed_while_a_question_is_open_neither_answers_nor_closes_it(office: Any) -> None:
    first = office.question(office.start())
    made_up = ToolMessage(
        "Successfully handled tool call.", tool_call_id="p-1", id="do-not-render-1"
    )  # agent-chat-ui adds this for every open call
    result = office.run({"messages": [made_up, HumanMessage("what is this?")]})
    assert office.question(result)["approval_id"] == first["approval_id"]
    assert office.paid == []
    assert "Successfully handled" not in " ".join(message.text for message in result["messages"])
    assert [call["name"] for call in result["messages"][-1].tool_calls] == ["pay"]
    office.answer(APPROVE)
    assert len(office.paid) == 1


def test_another_goal_while_a_question_is_open_closes_it_as_refused(office: Any) -> None:
    first = office.question(office.start())
    second = office.question(office.run({"goal": "pay bob"}))
    assert second["run_id"] == "r-1~2"
    assert office.ledger.approvals.get(first["approval_id"]).status == "rejected"
    assert office.ledger.runs.get("r-1").status == "stopped"


def test_a_thread_id_that_another_saver_used_asks_again(office: Any) -> None:
    office.start()
    office.answer(APPROVE)
    office.saver = InMemorySaver()
    question = office.question(office.start())
    assert question["run_id"] == "r-1~2"
    assert len(office.paid) == 1


def test_the_state_is_plain_json_and_messages(tmp_path: Path) -> None:
    import json

    result = team(tmp_path).compile().invoke({"goal": "sea"})
    json.dumps({name: value for name, value in result.items() if name != "messages"})


@pytest.mark.parametrize(
    ("agents", "problem"),
    [
        ([], "at least one agent"),
        ([SCOUT, SCOUT], "Two agents have the role 'scout'"),
        ([TELLER], "needs 'Facts', which no agent of the team gives"),
        (
            [
                Agent(role="a", needs=(Story,), gives=Facts, function=look),
                Agent(role="b", needs=(Facts,), gives=Story, function=lambda task: Story(text="")),
            ],
            "wait for each other",
        ),
        ([Agent(role="gate", gives=Facts, function=look)], "is taken"),
    ],
)
def test_a_team_that_cannot_work_is_refused_when_it_is_put_together(agents: list[Any], problem: str) -> None:
    with pytest.raises(SignoffError, match=problem):
        Team(agents=agents)


def test_a_policy_for_an_action_that_nobody_has_is_refused() -> None:
    with pytest.raises(SignoffError, match="'publish'"):
        Team(agents=[SCOUT], policy=Policy({"publish": "allow"}))


@pytest.mark.parametrize("wrong", [{"role": "a b"}, {"role": ""}, {"role": "a", "function": None}])
def test_an_agent_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SignoffError, match="Agent"):
        Agent(**{"gives": Facts, "function": look, **wrong})
