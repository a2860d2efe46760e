"""The guard around model calls, over HTTP, against a server that fails in every way it can."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from signoff.agents.models.guarded import GuardedModel, guard
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.registry import load_models
from signoff.agents.models.settings import CallSettings, model_name
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.budgets import precedence, reservations
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import (
    BudgetExhausted,
    ContextTooLong,
    ModelDeclined,
    ModelError,
    ModelRefused,
    ModelUnreachable,
    SettingsError,
    UnknownPrice,
)
from signoff.settings import load_settings
from signoff.testing import (
    ScriptedModel,
    ScriptedServer,
    calls,
    drops,
    fails,
    garbles,
    gives,
    hangs,
    refuses,
    says,
)

PRICES = {"scripted": {"input": 1.0, "cached": 0.5, "output": 4.0}}
"""Dollars for a million tokens."""


class City(BaseModel):
    """A city."""

    name: str


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


def model_at(server: ScriptedServer, kind: type[BaseChatModel] = Endpoint, name: str = "scripted") -> BaseChatModel:
    return kind(model=name, base_url=server.url, api_key="test", max_retries=0, timeout=5)


def guarded(*models: BaseChatModel, **settings: Any) -> GuardedModel:
    said = {"prices": PRICES, "model_retries": 2, **settings}
    return guard(*models, settings=replace(CallSettings.of(load_settings(**said)), first_pause=0.01))


@contextmanager
def charged(ledger: Ledger, **budgets: Budget) -> Iterator[Payer]:
    payer = Payer(ledger=ledger, run_id="r-1", team="team", role="writer", budgets=budgets)
    with paying(payer):
        yield payer


pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
both = pytest.mark.parametrize("kind", [Endpoint, ChatOpenAI])


@both
def test_an_answer_is_charged_by_the_tokens_it_took(ledger: Ledger, kind: type[BaseChatModel]) -> None:
    with ScriptedServer(["Paris"]) as server, charged(ledger, run=Budget(usd=1)):
        answer = guarded(model_at(server, kind)).invoke("Where?")
        usage = answer.usage_metadata
        assert answer.text == "Paris"
        assert usage is not None
        nusd = usage["input_tokens"] * 1_000 + usage["output_tokens"] * 4_000
        assert answer.response_metadata["cost_nusd"] == nusd
        assert ledger.budgets.standing("run:r-1").spent.nusd == nusd
        assert ledger.budgets.standing("run:r-1").held.nusd == 0
        [spent] = ledger.spending.by("run")
        assert (spent.calls, spent.usd) == (1, nusd / 1e9)


@both
@pytest.mark.parametrize(
    "fault",
    [
        fails(429, retry_after=0.01),
        fails(500),
        fails(503),
        drops(),
        drops("half of it"),
        garbles(),
        garbles("<p>", content_type="text/html"),
    ],
    ids=["429", "500", "503", "closed", "cut off", "cut JSON", "a page"],
)
def test_what_passes_is_tried_again(ledger: Ledger, kind: type[BaseChatModel], fault: Any) -> None:
    with ScriptedServer([fault, "Paris"]) as server, charged(ledger):
        assert guarded(model_at(server, kind)).invoke("Where?").text == "Paris"
        assert len(server.calls) == 2
        [spent] = ledger.spending.by("run")
        assert (spent.calls, spent.failed) == (2, 1)


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        (fails(401), ModelRefused, 1),
        (fails(404), ModelRefused, 1),
        (fails(400), ModelRefused, 1),
        (fails(429, "You exceeded your current quota.", code="insufficient_quota"), ModelRefused, 1),
        (fails(400, "prompt is too long: 9000 tokens"), ContextTooLong, 1),
        (refuses("I would rather not."), ModelDeclined, 1),
        (says("", finish="content_filter"), ModelDeclined, 1),
        (fails(500), ModelUnreachable, 3),
        (drops(), ModelUnreachable, 3),
        (garbles(), ModelUnreachable, 3),
    ],
    ids=["401", "404", "400", "quota", "too long", "refusal", "filter", "500", "closed", "cut JSON"],
)
def test_each_fault_ends_in_its_own_error_after_so_many_tries(
    ledger: Ledger, fault: Any, error: type[Exception], tries: int
) -> None:
    with ScriptedServer([fault] * 3) as server, charged(ledger, run=Budget(usd=1)):
        with pytest.raises(error):
            guarded(model_at(server)).invoke("Where?")
        assert len(server.calls) == tries
        assert ledger.budgets.standing("run:r-1").held.nusd == 0


def test_a_call_that_takes_too_long_is_given_up_and_its_worst_case_charged(ledger: Ledger) -> None:
    with ScriptedServer([hangs()]) as server, charged(ledger, run=Budget(usd=1)):
        with pytest.raises(ModelUnreachable):
            guarded(model_at(server), model_timeout=0.3, model_retries=0).invoke("Where?")
        standing = ledger.budgets.standing("run:r-1")
        assert standing.held.nusd == 0
        assert standing.spent.nusd >= 8_192 * 4_000
        [spent] = ledger.spending.by("run")
        assert (spent.failed, spent.assumed) == (1, 1)


@pytest.mark.parametrize("status", [408, 504, 524, 598])
def test_who_gave_up_waiting_for_a_model_may_have_to_pay_for_it(ledger: Ledger, status: int) -> None:
    with ScriptedServer([fails(status), "Paris"]) as server, charged(ledger):
        assert guarded(model_at(server)).invoke("Where?").text == "Paris"
        (spent,) = ledger.spending.by("run")
        assert (spent.calls, spent.assumed, spent.failed) == (2, 1, 1)
        assert spent.usd_assumed > 0


def test_another_model_stands_in_for_one_that_fails(ledger: Ledger) -> None:
    with ScriptedServer([fails(500)] * 3) as first, ScriptedServer(["Paris"]) as second, charged(ledger):
        model = guarded(model_at(first), model_at(second))
        assert model.invoke("Where?").text == "Paris"
        assert (len(first.calls), len(second.calls)) == (3, 1)


def test_an_endpoint_that_says_503_and_until_when_while_it_answers_others_has_a_limit(ledger: Ledger) -> None:
    """No call fails by it, though none may be tried again after a fault; and its circuit stays closed."""

    async def main() -> list[str]:
        answers = await asyncio.gather(*(model.ainvoke("Where?") for _ in range(16)))
        return [answer.text for answer in answers]

    script = ["Paris"] * 8 + [fails(503, retry_after=0.01)] * 6 + ["Paris"] * 8
    with ScriptedServer(script) as server, charged(ledger):
        model = guarded(model_at(server), model_retries=0)
        assert asyncio.run(main()) == ["Paris"] * 16


def test_an_endpoint_that_says_503_to_everybody_is_given_up_after_so_many_tries(ledger: Ledger) -> None:
    with ScriptedServer([fails(503, retry_after=0.01)] * 3) as first, ScriptedServer(["Paris"]) as second:
        with charged(ledger):
            assert guarded(model_at(first), model_at(second)).invoke("Where?").text == "Paris"
        assert (len(first.calls), len(second.calls)) == (3, 1)


def test_who_is_refused_and_waits_is_told_until_when_and_at_which_pace_it_goes_on(ledger: Ledger) -> None:
    said = list[str]()

    async def wait_for(words: str) -> None:
        async with asyncio.timeout(60):
            while not any(words in line for line in said):
                await asyncio.sleep(0.01)

    async def main() -> None:
        first = asyncio.create_task(model.ainvoke("Where?"))
        await wait_for("tries again, at ")
        second = asyncio.create_task(model.ainvoke("And where?"))
        await wait_for("waiting for its rate limit, until ")
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    def say(text: str, /, *, done: int = 0, total: int = 0) -> None:
        said.append(text)

    payer = Payer(ledger=ledger, run_id="r-1", team="team", role="writer", say=say)
    with ScriptedServer([fails(429, retry_after=90)]) as server, paying(payer):
        model = guarded(model_at(server))
        asyncio.run(main())
    assert sum("calls a second" in line for line in said) == 1


def test_a_stand_in_of_another_kind_gets_the_same_tools_and_schema(ledger: Ledger) -> None:
    second = ScriptedModel([calls("look_up", word="x"), gives(City(name="Paris"))])
    with ScriptedServer([fails(401)] * 2) as first, charged(ledger):
        model = guarded(model_at(first), second)
        assert model.bind_tools([look_up]).invoke("Where?").tool_calls[0]["name"] == "look_up"
        assert model.with_structured_output(City).invoke("Where?") == City(name="Paris")
        assert second.calls[0].tool_names == ("look_up",)


@both
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("raw", [False, True])
def test_structured_output_goes_through_the_guard(
    ledger: Ledger, kind: type[BaseChatModel], method: str, raw: bool
) -> None:
    with ScriptedServer([gives(City(name="Paris"))]) as server, charged(ledger):
        model = guarded(model_at(server, kind)).with_structured_output(City, method=method, include_raw=raw)
        found = model.invoke("Where?")
        assert (found["parsed"] if raw else found) == City(name="Paris")
        assert [spent.calls for spent in ledger.spending.by("run")] == [1]


@both
def test_a_stream_is_charged_and_comes_in_parts(ledger: Ledger, kind: type[BaseChatModel]) -> None:
    with ScriptedServer(["A long way down the river lies the city."] * 2) as server, charged(ledger, run=Budget(usd=1)):
        model = guarded(kind(model="scripted", base_url=server.url, api_key="x", max_retries=0, stream_usage=True))
        parts = list(model.stream("Where?"))
        assert len([part for part in parts if part.content]) > 2
        assert "".join(str(part.content) for part in parts) == "A long way down the river lies the city."

        async def stream() -> list[Any]:
            return [part async for part in model.astream("Where?")]

        assert len([part for part in asyncio.run(stream()) if part.content]) > 2
        [spent] = ledger.spending.by("run")
        assert (spent.calls, spent.failed, spent.assumed) == (2, 0, 0)
        assert spent.usd == ledger.budgets.standing("run:r-1").spent.nusd / 1e9 > 0


@both
def test_a_stream_that_is_cut_off_is_an_error_and_its_worst_case_charged(
    ledger: Ledger, kind: type[BaseChatModel]
) -> None:
    with (
        ScriptedServer([drops("A long way down the river lies the city.")]) as server,
        charged(ledger, run=Budget(usd=1)),
    ):
        with pytest.raises(ModelUnreachable):
            list(guarded(model_at(server, kind)).stream("Where?"))
        assert len(server.calls) == 1
        standing = ledger.budgets.standing("run:r-1")
        assert standing.held.nusd == 0
        assert standing.spent.nusd >= 8_192 * 4_000


PART = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
BEGUN = {**PART, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "A"}, "finish_reason": None}]}
USED = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
WHOLE = {"id": "c", "object": "chat.completion", "model": "m", "usage": USED}


@pytest.mark.parametrize("code", ["invalid_api_key", "content_filter", "context_length_exceeded", "server_error"])
def test_an_answer_that_had_begun_is_charged_whatever_error_ends_it(ledger: Ledger, code: str) -> None:
    body = "".join(f"data: {json.dumps(part)}\n\n" for part in (BEGUN, {"error": {"message": code, "code": code}}))
    with (
        ScriptedServer([garbles(body, content_type="text/event-stream")]) as server,
        charged(ledger, run=Budget(usd=1)),
    ):
        with pytest.raises(ModelError):
            list(guarded(model_at(server)).stream("Where?"))
        assert ledger.budgets.standing("run:r-1").spent.nusd >= 8_192 * 4_000


def test_what_a_whole_answer_in_place_of_a_stream_used_is_charged(ledger: Ledger) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}
    body = json.dumps({**WHOLE, "choices": [choice]})
    with (
        ScriptedServer([garbles(body, content_type="application/json; charset=utf-8")]) as server,
        charged(ledger, run=Budget(usd=1)),
    ):
        with pytest.raises(ModelUnreachable, match="no stream of events"):
            list(guarded(model_at(server), model_retries=0).stream("Where?"))
        [spent] = ledger.spending.by("run")
        assert (spent.input_tokens, spent.output_tokens) == (1000, 500)


def test_a_budget_that_cannot_hold_the_worst_case_stops_the_call_before_it_is_made(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"]) as server, charged(ledger, run=Budget(usd=0.01)):
        with pytest.raises(BudgetExhausted) as told:
            guarded(model_at(server)).invoke("Where?")
        assert (told.value.scope, told.value.what) == ("run:r-1", "usd")
        assert server.calls == ()


def test_a_budget_for_one_call_shortens_its_answer_or_stops_it(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"]) as server, charged(ledger, call=Budget(usd=0.01)):
        guarded(model_at(server)).invoke("Where?")
        assert server.requests[-1].body["max_completion_tokens"] == 2048
    with ScriptedServer(["Paris"]) as server, charged(ledger, call=Budget(usd=0.00001)):
        with pytest.raises(BudgetExhausted):
            guarded(model_at(server)).invoke("Where?")
        assert server.calls == ()


def test_a_model_without_a_known_price_is_not_called(ledger: Ledger) -> None:
    nowhere = Endpoint(model="nobody-knows-it", base_url="https://models.example.org/v1", api_key="test")
    with charged(ledger), pytest.raises(UnknownPrice):
        guarded(nowhere).invoke("Where?")


def test_a_model_on_this_machine_costs_nothing_unless_a_price_is_set(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"]) as server, charged(ledger):
        assert guarded(model_at(server, name="own")).invoke("Where?").response_metadata["cost_nusd"] == 0


def test_an_answer_has_a_bound_even_if_nobody_sets_one(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"] * 2) as server, charged(ledger):
        guarded(model_at(server), max_output_tokens=99).invoke("Where?")
        guarded(model_at(server), max_output_tokens=99).invoke("Where?", max_tokens=7)
        assert [request.body["max_completion_tokens"] for request in server.requests] == [99, 7]


def test_secrets_do_not_leave_and_do_not_come_back(ledger: Ledger) -> None:
    key = "sk-proj-" + "a1B2c3D4" * 6
    with ScriptedServer(["Fine."]) as server, charged(ledger):
        guarded(model_at(server)).invoke(f"My key is {key}, is that fine?")
        assert key not in json.dumps(server.requests[0].body)


def test_personal_data_is_hidden_from_the_model_and_restored_in_its_answer(ledger: Ledger) -> None:
    def echo(call: Any) -> str:
        return f"Write to {call.last.split()[-1]}"

    with ScriptedServer([echo]) as server, charged(ledger):
        answer = guarded(model_at(server), redact=("secrets", "pii")).invoke("The address is ann@example.org")
        assert "ann@example.org" not in json.dumps(server.requests[0].body)
        assert answer.text == "Write to ann@example.org"


def test_a_cancelled_call_gives_its_reservation_back(ledger: Ledger) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(model.ainvoke("Where?"))
        while not server.calls:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ScriptedServer([hangs()]) as server, charged(ledger, run=Budget(usd=1)):
        model = guarded(model_at(server))
        asyncio.run(give_up())
        assert ledger.budgets.standing("run:r-1").held.nusd == 0


def test_calls_from_many_threads_and_loops_are_all_charged(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"] * 40) as server, charged(ledger, run=Budget(usd=40)) as payer:
        model = guarded(model_at(server))

        def ask() -> None:
            with paying(payer):
                model.invoke("Where?")

        async def ask_all() -> None:
            await asyncio.gather(*[model.ainvoke("Where?") for _ in range(20)])

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        asyncio.run(ask_all())
        for thread in threads:
            thread.join()
        [spent] = ledger.spending.by("run")
        assert (spent.calls, spent.failed) == (40, 0)
        assert spent.usd == ledger.budgets.standing("run:r-1").spent.nusd / 1e9


def test_runs_that_wait_for_a_budget_hold_up_none_of_those_they_wait_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "_TELL_SECONDS", 0.01)
    monkeypatch.setattr(precedence, "_NEWER", 0.0)
    day, heard = Budget(steps=14), list[str]()

    def payer(run: str) -> Payer:
        ledger.runs.begin(run, 1, team="team", goal="g")
        say = lambda text, /, **_: heard.append(text)  # noqa: E731  # as short as it is
        return Payer(ledger=ledger, run_id=run, team="team", role="writer", budgets={"day": day}, say=say)

    async def ask(model: GuardedModel, who: Payer) -> str:
        with paying(who):
            return (await model.ainvoke("Where?")).text

    async def main(model: GuardedModel) -> None:
        first, others = payer("first"), [payer(f"other-{number}") for number in range(12)]
        assert await ask(model, first) == "Paris"
        waiting = [asyncio.create_task(ask(model, each)) for each in others]
        while len(heard) < len(others):
            await asyncio.sleep(0)
        assert set(heard) == {"waits: the day's budget is promised to 1 run that began before"}
        assert await ask(model, first) == "Paris"
        ledger.runs.set_status("first", "done")
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    with ScriptedServer(["Paris"] * 15) as server:
        asyncio.run(main(guarded(model_at(server))))


def test_an_endpoint_that_fails_again_and_again_is_left_alone_while_another_stands_in(ledger: Ledger) -> None:
    with ScriptedServer([fails(500)] * 5) as first, ScriptedServer(["Paris"] * 5) as second, charged(ledger):
        model = guarded(model_at(first), model_at(second), model_retries=0)
        for _ in range(5):
            assert model.invoke("Where?").text == "Paris"
        assert len(first.calls) == 5
        second_calls = len(second.calls)
    with ScriptedServer(["Rome"]) as third, charged(ledger):
        assert guarded(model.chain[0], model_at(third), model_retries=0).invoke("Where?").text == "Rome"
    assert second_calls == 5


def test_tiers_of_the_settings_are_chains_and_what_the_weaker_saved_is_known(ledger: Ledger) -> None:
    with ScriptedServer(["Paris"]) as server, charged(ledger):
        settings = load_settings(
            tiers={"fast": "openai:small", "smart": ["openai:large", "openai:small"]},
            prices={"small": 1.0, "large": 10.0},
            base_url=server.url,
        )
        models = load_models(settings)
        assert models is not None
        assert [model_name(model) for model in models.model("smart").chain] == ["large", "small"]
        models.model("fast").invoke("Where?")
        [tier] = ledger.spending.by("tier")
        assert tier.name == "fast"
        assert tier.usd_saved == pytest.approx(9 * tier.usd)
        assert models.model("fast", stronger=1) is models.model("smart")
        assert models.can_grow("fast")
        assert not models.can_grow("smart")


@pytest.mark.parametrize("tiers", [{"fast": "offline"}, {"fast": []}])
def test_a_tier_without_a_model_is_told(database: str, tiers: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="SIGNOFF_TIERS"):
        load_models(load_settings(tiers=tiers))


def test_no_signature_is_worked_out_at_a_call(ledger: Ledger) -> None:
    """LangChain asks for that of a model's method at every call."""
    seen: list[str] = []

    def hear(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_signature_from_function":
            seen.append(str(frame.f_locals["func"]))

    async def work() -> None:
        await model.ainvoke("Where?")
        sys.setprofile(hear)
        try:
            for _ in range(3):
                await model.ainvoke("Where?")
        finally:
            sys.setprofile(None)

    with ScriptedServer(["Paris"] * 4) as server, charged(ledger, run=Budget(usd=1)):
        model = guarded(model_at(server))
        asyncio.run(work())
    assert seen == []
