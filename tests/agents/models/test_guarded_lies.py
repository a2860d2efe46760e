"""Endpoints that lie, callers that ask for more than is held, and calls that are given up: the guard stays usable."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from signoff.agents.models.guarded import GuardedModel, guard
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.settings import CallSettings
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import BudgetExhausted, ModelRefused, ModelUnreachable
from signoff.settings import load_settings
from signoff.testing import ScriptedServer, fails, garbles, hangs

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

LONG = "d" * 4_000


class Form(BaseModel):
    """A form with a long schema."""

    text: str = ""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        return {**handler(core_schema), "description": LONG}


@pytest.fixture
def payer(ledger: Ledger) -> Iterator[Payer]:
    found = Payer(ledger=ledger, run_id="r-1", team="team", role="writer", budgets={"run": Budget(usd=5)})
    with paying(found):
        yield found


def guarded(server: ScriptedServer, **settings: Any) -> GuardedModel:
    said = {"prices": {"scripted": {"input": 1.0, "cached": 0.1, "output": 4.0}}, "model_retries": 0, **settings}
    terms = replace(CallSettings.of(load_settings(**said)), first_pause=0.01)
    return guard(Endpoint(model="scripted", base_url=server.url, api_key="test"), settings=terms)


def answer(usage: Any, content: Any = "Paris", role: str = "assistant", **message: Any) -> Any:
    choice = {"index": 0, "message": {"role": role, "content": content, **message}, "finish_reason": "stop"}
    return garbles(json.dumps({"id": "c", "model": "scripted", "choices": [choice], "usage": usage}))


def used(read: Any, written: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": 0, **more}


@pytest.mark.parametrize(
    "usage",
    [
        used(-5, 1),
        used(1, -5),
        used(10**30, 1),
        used("12", 1),
        used(1.5, 1),
        used(None, None),
        used([], {}),
        "lots",
        [],
    ],
    ids=str,
)
def test_usage_that_cannot_be_is_charged_as_the_worst_case_and_blocks_nothing(payer: Payer, usage: Any) -> None:
    with ScriptedServer([answer(usage), "Rome"]) as server:
        model = guarded(server)
        with suppress(ModelUnreachable):  # of some no message can be made
            assert model.invoke("Where?").text == "Paris"
        assert model.invoke("And then?").text == "Rome"
    standing = payer.ledger.budgets.standing("run:r-1")
    assert standing.held.nusd == 0
    assert standing.spent.nusd > 8_192 * 4_000
    [spent] = payer.ledger.spending.by("run")
    assert (spent.calls, spent.assumed) == (2, 1)


def test_more_cached_tokens_than_there_were_cost_no_more_than_the_prompt(payer: Payer) -> None:
    with ScriptedServer([answer(used(15, 2, prompt_tokens_details={"cached_tokens": 10**6}))]) as server:
        guarded(server).invoke("Where?")
    assert 0 < payer.ledger.budgets.standing("run:r-1").spent.nusd <= 15 * 1_000 + 2 * 4_000


@pytest.mark.parametrize(
    "first",
    [answer(used(1, 1), content=5), answer(used(1, 1), role="user"), answer(used(1, 1), tool_calls="x")],
    ids=["a number", "a user's message", "calls that are a word"],
)
def test_an_answer_that_is_none_is_asked_for_again(payer: Payer, first: Any) -> None:
    with ScriptedServer([first, "Rome"]) as server:
        assert guarded(server, model_retries=1).invoke("Where?").text == "Rome"


@pytest.mark.parametrize("most", [None, "50", -3])
def test_a_bound_that_is_no_number_is_the_guards_own(payer: Payer, most: Any) -> None:
    with ScriptedServer(["Paris", "Rome"]) as server:
        model = guarded(server)
        with suppress(ModelRefused):  # the endpoint may say so
            model.invoke("Where?", max_tokens=most)
        assert model.invoke("And then?").text == "Rome"
    assert payer.ledger.budgets.standing("run:r-1").held.nusd == 0


def test_a_schema_counts_as_part_of_the_prompt(payer: Payer) -> None:
    limits = {"run": Budget(tokens=8_192 + 3_000)}
    with ScriptedServer(["{}"]) as server, paying(replace(payer, budgets=limits)):
        with pytest.raises(BudgetExhausted):
            guarded(server).with_structured_output(Form, method="json_schema").invoke("Where?")
        assert server.calls == ()


def test_several_answers_at_once_are_reserved_as_several(payer: Payer) -> None:
    limits = {"run": Budget(tokens=3 * 8_192)}
    with ScriptedServer(["Paris"]) as server, paying(replace(payer, budgets=limits)):
        with pytest.raises(BudgetExhausted):
            guarded(server).invoke("Where?", n=4)
        assert server.calls == ()


@pytest.mark.parametrize("option", [{"model": "dear"}, {"extra_body": {"max_tokens": 99_999}}], ids=str)
def test_an_option_that_would_go_around_the_budget_is_refused(payer: Payer, option: dict[str, Any]) -> None:
    with ScriptedServer(["Paris"]) as server:
        with pytest.raises(ModelRefused, match="budget"):
            guarded(server).invoke("Where?", **option)
        assert server.calls == ()


def test_a_model_with_tries_of_its_own_is_tried_once(payer: Payer) -> None:
    with ScriptedServer([fails(500)] * 3) as server:
        with pytest.raises(ModelUnreachable):
            guarded(server).invoke("Where?")
        assert len(server.calls) == 1


def test_a_call_that_is_cancelled_twice_blocks_nothing(payer: Payer) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(model.ainvoke("Where?"))
        while not server.calls:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.ainvoke("And then?")).text == "Rome"

    with ScriptedServer([hangs(), "Rome"]) as server:
        model = guarded(server, model_patience=5)
        asyncio.run(give_up())
    [spent] = payer.ledger.spending.by("run")
    assert (spent.calls, spent.assumed) == (2, 1)
    assert payer.ledger.budgets.standing("run:r-1").held.nusd == 0


@pytest.mark.parametrize("limit", [Budget(steps=0), Budget(seconds=0), Budget(usd=0), Budget(tokens=0)], ids=str)
def test_a_call_budget_of_nothing_allows_no_call(payer: Payer, limit: Budget) -> None:
    with ScriptedServer(["Paris"]) as server, paying(replace(payer, budgets={"call": limit})):
        with pytest.raises(BudgetExhausted):
            guarded(server).invoke("Where?")
        assert server.calls == ()
