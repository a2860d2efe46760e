"""Teams on one thread, and states that name another run: each run is its own."""

from dataclasses import replace
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from signoff import Ask, Ledger, Policy, Team
from signoff.errors import UnknownRun

APPROVE = {"decisions": [{"type": "approve"}]}


class Both(TypedDict):
    goal: str


def side_by_side(office: Any, *teams: Team) -> Any:
    """A graph in which these teams work at the same time."""
    graph = StateGraph(Both)
    for number, team in enumerate(teams):
        inner = team.compile()

        def call(state: Both, inner: Any = inner) -> dict[str, Any]:
            inner.invoke({"goal": state["goal"]})
            return {}

        graph.add_node(f"team{number}", call)
        graph.add_edge(START, f"team{number}")
        graph.add_edge(f"team{number}", END)
    return graph.compile(checkpointer=office.saver)


def test_two_teams_within_one_graph_have_runs_and_policies_of_their_own(office: Any) -> None:
    allowing = replace(office.team, policy=Policy({"pay": "allow"}), name="allowing")
    denying = replace(office.team, policy=Policy({"pay": "deny"}), name="denying")
    for round_ in range(5):
        config = {"configurable": {"thread_id": f"t-{round_}"}}
        side_by_side(office, allowing, denying).invoke({"goal": "pay ann"}, config)
        assert len(office.paid) == round_ + 1
    assert len({run.id for run in office.ledger.runs.list()}) == 10


def test_the_same_team_twice_pays_for_each(office: Any) -> None:
    office.policy = Policy({"pay": "allow"})
    side_by_side(office, office.team, office.team).invoke({"goal": "pay ann"}, {"configurable": {"thread_id": "t"}})
    assert len(office.paid) == 2


def test_a_team_with_another_name_on_the_same_thread_gets_a_run_of_its_own(office: Any) -> None:
    office.ledger.runs.begin("r-1", 1, team="other", goal="pay ann", requested_by="ann")
    office.start()
    assert [run.id for run in office.ledger.runs.list()] == ["r-1~2", "r-1"]


@pytest.mark.parametrize("rule", ["ask", Ask(four_eyes=True)])
def test_a_state_that_names_another_run_gets_nothing_done_in_it(office: Any, rule: Any) -> None:
    office.ledger.runs.begin("bobs", 1, team="team", goal="something", requested_by="bob")
    office.policy = Policy({"pay": rule})
    office.config["configurable"]["langgraph_auth_user_id"] = "ann"
    result = office.start()
    forged = {"run": {**result["run"], "id": "bobs"}}
    after = office.run(Command(update=forged, resume="maybe"))
    assert office.paid == []
    assert after["outcomes"][0]["status"] == "denied"
    assert office.ledger.runs.get("bobs").status == "running"
    assert office.ledger.approvals.pending("bobs") == []


def test_a_thread_whose_run_is_in_another_ledger_is_told_so(office: Any, tmp_path: Any) -> None:
    office.start()
    office.ledger = Ledger(tmp_path / "another.db")
    with pytest.raises(UnknownRun, match="No run 'r-1'"):
        office.answer(APPROVE)
