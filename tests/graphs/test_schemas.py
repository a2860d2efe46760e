"""What a client is told of a team before it starts one: the schemas that LangGraph makes, as JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from signoff import Agent, Artifact, Ledger, Task, Team, report_team
from signoff.graphs import TeamState


class Note(Artifact):
    text: str


def write(task: Task) -> Note:
    return Note(text=task.goal)


def own_team(home: Path) -> Team:
    return Team(agents=[Agent(role="writer", gives=Note, function=write)], ledger=Ledger(home / "signoff.db"))


def ready_team(home: Path) -> Team:
    (home / "docs").mkdir()
    (home / "docs" / "tides.md").write_text("# Tides\n\nThe moon pulls the water of the ocean.\n")
    return report_team(home / "docs")


TEAMS = pytest.mark.parametrize("build", [own_team, ready_team])


@TEAMS
def test_the_input_schema_says_what_each_field_is_and_takes_a_goal_or_a_conversation(
    home: Path, build: Callable[[Path], Team]
) -> None:
    schema = build(home).compile().get_input_jsonschema()
    assert next(iter(schema["properties"])) == "goal"
    assert [name for name, field in schema["properties"].items() if not field.get("description")] == []
    assert schema["description"]
    jsonschema.validate({"goal": "sea"}, schema)
    jsonschema.validate({"messages": [{"type": "human", "content": "sea"}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"goal": 7}, schema)


@TEAMS
def test_the_output_schema_fits_what_a_run_gives(home: Path, build: Callable[[Path], Team]) -> None:
    schema = build(home).compile().get_output_jsonschema()
    assert {"goal", "run", "plan", "artifacts", "proposals", "outcomes", "usage"} <= set(schema["properties"])
    outcome = own_team(home).compile().invoke({"goal": "sea"})
    plain: dict[str, Any] = {**outcome, "messages": [message.model_dump() for message in outcome["messages"]]}
    jsonschema.validate(plain, schema)


def test_a_graph_whose_state_extends_a_teams_has_its_schema_too(home: Path) -> None:
    class Desk(TeamState, total=False):
        letter: Annotated[str, "what came in"]

    class Answer(TypedDict):
        goal: str

    def read(state: Desk) -> Answer:
        return {"goal": state["letter"].upper()}

    builder = StateGraph(Desk)
    builder.add_node("read", read)
    builder.add_node("team", own_team(home).compile())
    builder.add_edge(START, "read")
    builder.add_edge("read", "team")
    graph = builder.compile()
    assert "letter" in graph.get_input_jsonschema()["properties"]
    assert graph.invoke({"letter": "tide"})["artifacts"]["Note"]["value"] == {"text": "TIDE"}
