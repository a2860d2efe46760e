"""Calls of models that nobody guarded are charged, and refused when a budget or the price says so."""

import asyncio
from collections.abc import Iterator

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from signoff import Agent, Artifact, Team
from signoff.agents.models.guarded import guard
from signoff.agents.models.unguarded import UnguardedCalls
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import BudgetExhausted, UnknownPrice
from signoff.testing import ScriptedModel, ScriptedServer, calls, fails, gives
from signoff.tools.tool import tool

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def payer(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Payer]:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": {"input": 1, "output": 4}}')
    found = Payer(ledger=ledger, run_id="r-1", team="team", role="writer", budgets={"run": Budget(usd=0.05)})
    with paying(found):
        yield found


def chat(server: ScriptedServer) -> ChatOpenAI:
    return ChatOpenAI(model="scripted", base_url=server.url, api_key="test", max_retries=0, max_tokens=1000)


def test_a_call_that_nobody_guarded_is_charged_by_what_it_used(payer: Payer) -> None:
    with ScriptedServer(["Paris", "Rome"]) as server:
        chat(server).invoke("Where?", config={"callbacks": [UnguardedCalls()]})
        asyncio.run(chat(server).ainvoke("Where?", config={"callbacks": [UnguardedCalls()]}))
    [spent] = payer.ledger.spending.by("agent")
    assert (spent.name, spent.calls, spent.failed, spent.assumed) == ("writer", 2, 0, 0)
    standing = payer.ledger.budgets.standing("run:r-1")
    assert standing.spent.nusd / 1e9 == spent.usd > 0
    assert standing.held.nusd == 0


def test_a_call_that_failed_gives_its_reservation_back(payer: Payer) -> None:
    with ScriptedServer([fails(400)]) as server, pytest.raises(Exception, match="400"):
        chat(server).invoke("Where?", config={"callbacks": [UnguardedCalls()]})
    standing = payer.ledger.budgets.standing("run:r-1")
    assert (standing.held.nusd, standing.spent.nusd) == (0, 0)


def test_a_call_for_which_there_is_no_money_is_not_made(payer: Payer) -> None:
    with ScriptedServer(["Paris"]) as server:
        with pytest.raises(BudgetExhausted):
            chat(server).invoke("Where? " * 10_000, config={"callbacks": [UnguardedCalls()]})
        assert server.calls == ()


def test_a_model_whose_price_nobody_knows_is_not_called(payer: Payer) -> None:
    with pytest.raises(UnknownPrice):
        FakeListChatModel(responses=["Paris"]).invoke("Where?", config={"callbacks": [UnguardedCalls()]})


def test_a_guarded_call_is_charged_once(payer: Payer) -> None:
    guard(ScriptedModel(["Paris"])).invoke("Where?", config={"callbacks": [UnguardedCalls()]})
    [spent] = payer.ledger.spending.by("agent")
    assert spent.calls == 1


class Found(Artifact):
    text: str


def test_a_function_body_that_calls_a_model_of_its_own_is_charged_to_its_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 1.0}')
    with ScriptedServer(["Paris"] * 2) as server:
        finder = Agent(role="finder", gives=Found, function=lambda task: Found(text=chat(server).invoke("Where?").text))
        graph = Team(agents=[finder], ledger=ledger).compile()
        assert graph.invoke({"goal": "a city"})["artifacts"]["Found"]["value"]["text"] == "Paris"
        asyncio.run(graph.ainvoke({"goal": "a city"}))
    assert sorted((spent.name, spent.calls) for spent in ledger.spending.by("agent")) == [("finder", 2)]
    assert all(spent.name for spent in ledger.spending.by("run"))


def test_a_tool_that_calls_a_model_of_its_own_is_charged_to_the_agent(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 1.0}')
    with ScriptedServer(["Paris"] * 2) as server:

        @tool(risk="read")
        def ask(question: str) -> str:
            """Ask another model."""
            return chat(server).invoke(question).text

        @tool(risk="read")
        async def ask_slowly(question: str) -> str:
            """Ask another model."""
            return (await chat(server).ainvoke(question)).text

        script = [calls("ask", question="Where?"), calls("ask_slowly", question="Where?"), gives(Found(text="Paris"))]
        finder = Agent(role="finder", gives=Found, model=ScriptedModel(script), tools=(ask, ask_slowly))
        Team(agents=[finder], ledger=ledger).compile().invoke({"goal": "a city"})
    [spent] = ledger.spending.by("agent")
    assert (spent.name, spent.calls) == ("finder", 5)
    assert spent.usd > 0
