"""What faults of an endpoint cost, what is said of them, and how often it is asked in vain."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from signoff.agents.models.guarded import GuardedModel, guard
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.settings import CallSettings
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import ContextTooLong, ModelRefused, ModelUnreachable
from signoff.settings import load_settings
from signoff.testing import ScriptedServer, drops, fails, garbles, hangs

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
both = pytest.mark.parametrize("kind", [Endpoint, ChatOpenAI])
PAGE = garbles("<html><title>Sign in</title>", content_type="text/html")
USED = {"prompt_tokens": 10, "completion_tokens": 2}


def models(*urls: str, kind: type[BaseChatModel] = Endpoint, **settings: Any) -> GuardedModel:
    told = load_settings(prices={"m": {"input": 1.0, "output": 4.0}}, **{"model_retries": 0, **settings})
    chain = [kind(model="m", base_url=url, api_key="test", timeout=5, max_retries=0) for url in urls]
    return guard(*chain, settings=replace(CallSettings.of(told), first_pause=0.0))


@pytest.fixture
def payer(ledger: Ledger) -> Iterator[Payer]:
    found = Payer(ledger=ledger, run_id="r-1", budgets={"run": Budget(usd=5)})
    with paying(found):
        yield found


def booked(payer: Payer) -> tuple[int, int, int]:
    """Calls and nano-dollars, and those that are still held."""
    standing, [spent] = payer.ledger.budgets.standing("run:r-1"), payer.ledger.spending.by("run")
    return spent.calls, standing.spent.nusd, standing.held.nusd


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@contextmanager
def full() -> Iterator[str]:
    """An address at which no further connection comes about, nor is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(taken.getsockname())
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        finally:
            for each in waiting:
                each.close()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address whose host no name server knows; tests ask none."""
    ask = socket.getaddrinfo

    def answer(host: Any, *more: Any, **options: Any) -> Any:
        if host in ("api.exampel.invalid", b"api.exampel.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return "https://api.exampel.invalid/v1"


@both
def test_a_call_that_never_left_costs_nothing_and_says_why(
    payer: Payer, unknown: str, kind: type[BaseChatModel]
) -> None:
    with nobody() as url, ScriptedServer([]) as plain:
        faults = {
            unknown: r"api\.exampel\.invalid does not resolve .*Check the host in",
            url: r"nobody listens at 127\.0\.0\.1:\d+ \(connection refused\)",
            plain.url.replace("http:", "https:"): r"no TLS with 127\.0\.0\.1:\d+: .*http or https",
        }
        for number, (address, said) in enumerate(faults.items(), 1):
            with pytest.raises(ModelUnreachable, match=said):
                models(address, kind=kind).invoke("Where?")
            assert booked(payer) == (number, 0, 0)


def test_a_connection_that_does_not_come_about_in_its_time_costs_nothing(payer: Payer) -> None:
    with full() as url, pytest.raises(ModelUnreachable, match="no connection to 127"):
        guard(
            Endpoint(model="m", base_url=url, api_key="test", timeout=0.2, max_retries=0),
            settings=models(url).settings,
        ).invoke("Where?")
    assert booked(payer) == (1, 0, 0)


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        (PAGE, 0),
        (garbles(""), 0),
        (garbles("{}"), 0),
        (garbles('{"error": {"message": "upstream unavailable"}}'), 0),
        (garbles(json.dumps({"choices": [], "usage": USED})), 18_000),
        (garbles(json.dumps({"choices": [{"index": 0}], "usage": USED})), 18_000),
        (garbles(json.dumps({"error": {"message": "no"}, "usage": USED})), 18_000),
    ],
    ids=["a page", "empty", "an object", "an error", "usage, no choices", "usage, no message", "usage, an error"],
)
def test_an_answer_that_is_none_costs_what_it_says_it_used(payer: Payer, answer: Any, cost: int) -> None:
    with ScriptedServer([answer]) as server, pytest.raises(ModelUnreachable):
        models(server.url).invoke("Where?")
    assert booked(payer) == (1, cost, 0)


@pytest.mark.parametrize(
    "answer",
    [drops(), garbles(), garbles('{"choices": []}')],
    ids=["lost after it was sent", "cut", "a completion without usage"],
)
def test_where_a_model_may_have_worked_the_worst_case_is_booked(payer: Payer, answer: Any) -> None:
    with ScriptedServer([answer]) as server, pytest.raises(ModelUnreachable):
        models(server.url).invoke("Where?")
    assert booked(payer)[1] > 1_000_000
    assert payer.ledger.spending.by("run")[0].assumed == 1


@pytest.mark.parametrize(
    ("code", "error", "tries"),
    [(401, ModelRefused, 1), (502, ModelUnreachable, 2), ("insufficient_quota", ModelUnreachable, 2)],
)
def test_an_error_with_status_200_is_what_its_code_says(payer: Payer, code: Any, error: Any, tries: int) -> None:
    answer = garbles(json.dumps({"error": {"message": "So it is.", "code": code}}))
    with ScriptedServer([answer] * 2) as server, pytest.raises(error, match="So it is"):
        models(server.url, model_retries=1).invoke("Where?")
    assert booked(payer) == (tries, 0, 0)


def test_garbage_in_a_row_opens_the_breaker_and_the_next_call_is_told_why(ledger: Ledger) -> None:
    heard: list[str] = []
    payer = Payer(ledger=ledger, say=lambda text, /, **_: heard.append(text))
    with ScriptedServer([PAGE] * 9) as garbling, ScriptedServer(["Rome", "Paris"]) as good, paying(payer):
        model = models(garbling.url, good.url, model_retries=9)
        assert [model.invoke("Where?").text for _ in range(2)] == ["Rome", "Paris"]
        assert len(garbling.calls) == 5
    assert "it is no JSON" in heard[-1]
    assert "5 failures in a row" in heard[-1]


def test_calls_do_not_wait_for_what_waiting_does_not_mend(payer: Payer, unknown: str) -> None:
    model = models(unknown, model_retries=9)

    async def main() -> list[Any]:
        return await asyncio.gather(*(model.ainvoke("Where?") for _ in range(8)), return_exceptions=True)

    for error in asyncio.run(main()):  # with a patience of a quarter of an hour
        assert isinstance(error, ModelUnreachable)
        assert "api.exampel.invalid does not resolve" in str(error)
        assert "Check the host in SIGNOFF_BASE_URL" in str(error)


def test_a_model_that_hangs_is_given_up_for_its_stand_in_after_one_time_out(payer: Payer) -> None:
    with ScriptedServer([hangs()] * 4) as hung, ScriptedServer(["Paris"]) as good:
        model = models(hung.url, good.url, model_retries=3, model_timeout=0.2)
        assert model.invoke("Where?").text == "Paris"
        assert len(hung.calls) == 1


@pytest.mark.parametrize(
    "fault",
    [
        fails(413, "<html><title>413 Request Entity Too Large</title></html>"),
        fails(400, "input length and `max_tokens` exceed context limit: 9 + 8 > 16"),
        fails(400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        fails(400, "The decoder prompt (length 9) is longer than the maximum model length of 8."),
        fails(400, "This model's maximum prompt length is 8 but the request contains 9 tokens."),
        fails(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000"),
        fails(429, "Request too large for gpt-4 on tokens per min (TPM): Limit 8, Requested 9."),
    ],
    ids=["proxy", "Anthropic", "Gemini", "vLLM", "xAI", "TGI", "OpenAI's minute"],
)
def test_a_prompt_that_is_too_long_is_known_in_every_dialect(payer: Payer, fault: Any) -> None:
    with ScriptedServer([fault]) as server, pytest.raises(ContextTooLong):
        models(server.url).invoke("Where?")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (fails(401, "Wrong key."), "401 Wrong key. Check SIGNOFF_API_KEY (or OPENAI_API_KEY), and that it is one for"),
        (fails(402, "No credit."), "402 No credit. Add credit"),
        (fails(429, "No more.", code="insufficient_quota"), "429 No more. Add credit"),
        (fails(404, "No such model."), "404 No such model. Check the model's name"),
    ],
)
def test_a_refusal_says_what_to_do(payer: Payer, fault: Any, said: str) -> None:
    with ScriptedServer([fault]) as server, pytest.raises(ModelRefused) as error:
        models(server.url).invoke("Where?")
    assert said in str(error.value)
