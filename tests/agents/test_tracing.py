import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call
from langgraph.errors import GraphInterrupt
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Run, Team, concurrency
from signoff.agents import tracing
from signoff.errors import SettingsError
from signoff.installation import extra_command
from signoff.settings import Settings

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """The program's own provider: there can be one in a process."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)


@pytest.fixture(autouse=True)
def spans() -> Iterator[InMemorySpanExporter]:
    EXPORTER.clear()
    tracing.set_up(Settings(traces="api"))
    yield EXPORTER
    tracing.set_up(Settings())


def named(name: str) -> ReadableSpan:
    (found,) = [span for span in EXPORTER.get_finished_spans() if span.name == name]
    return found


def attributes(name: str) -> dict[str, Any]:
    return dict(named(name).attributes or {})


def answer() -> AIMessage:
    usage = UsageMetadata(
        input_tokens=30,
        output_tokens=7,
        total_tokens=37,
        input_token_details=InputTokenDetails(cache_read=20),
        output_token_details=OutputTokenDetails(reasoning=4),
    )
    metadata = {"model_name": "gpt-5.4-mini-2026", "finish_reason": "stop", "id": "chatcmpl-1"}
    return AIMessage("The moon.", usage_metadata=usage, response_metadata=metadata)


def test_a_call_of_a_model_is_named_and_measured_as_the_conventions_say() -> None:
    with tracing.call_span("gpt-5.4-mini", tier="fast", endpoint="api.openai.com:443", tries=2) as span:
        span.answered(answer(), 1_500_000)
    assert named("chat gpt-5.4-mini").kind is trace.SpanKind.CLIENT
    assert attributes("chat gpt-5.4-mini") == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.4-mini",
        "gen_ai.response.model": "gpt-5.4-mini-2026",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "server.address": "api.openai.com",
        "server.port": 443,
        "signoff.tier": "fast",
        "signoff.tries": 2,
        "signoff.cost.usd": 0.0015,
    }


def test_run_agent_call_and_tool_are_one_tree() -> None:
    with tracing.run_span("r-1~2", "report"), tracing.agent_span("writer", "r-1~2", tier="smart"):
        with tracing.call_span("m"):
            pass
        with tracing.tool_span("search", call_id="call_1"):
            pass
    run, agent = named("invoke_workflow report"), named("invoke_agent writer")
    assert run.parent is None
    for child, parent in (
        (agent, run),
        (named("chat m"), agent),
        (named("execute_tool search"), agent),
    ):
        assert child.parent is not None
        assert child.parent.span_id == parent.context.span_id
    assert attributes("invoke_workflow report") == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "report",
        "gen_ai.conversation.id": "r-1",
        "signoff.run.id": "r-1~2",
    }
    assert attributes("invoke_agent writer")["gen_ai.agent.name"] == "writer"
    assert attributes("execute_tool search")["gen_ai.tool.call.id"] == "call_1"


def test_gate_and_act_are_traced() -> None:
    with tracing.gate_span("pay", "r-1"):
        pass
    with tracing.act_span("pay", "r-1", key="k1"):
        pass
    assert attributes("gate pay")["signoff.action"] == "pay"
    assert attributes("act pay")["gen_ai.tool.name"] == "pay"
    assert attributes("act pay")["signoff.run.id"] == "r-1"


def test_parents_are_found_across_threads_and_event_loops() -> None:
    async def call(name: str) -> None:
        with tracing.call_span(name):
            await asyncio.sleep(0)

    with tracing.agent_span("writer", "r-1"):
        concurrency.run(call("behind"))
        thread = threading.Thread(target=copy_context().run, args=(asyncio.run, call("beside")))
        thread.start()
        thread.join()
    for name in ("chat behind", "chat beside"):
        parent = named(name).parent
        assert parent is not None
        assert parent.span_id == named("invoke_agent writer").context.span_id


def test_a_stream_that_is_closed_elsewhere_leaves_the_context_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    async def stream() -> Any:
        with tracing.call_span("m"):
            yield 1
            yield 2

    async def read() -> None:
        parts = stream()
        await asyncio.create_task(anext(parts))
        await asyncio.create_task(parts.aclose())

    asyncio.run(read())
    assert named("chat m")
    assert not caplog.records


def test_a_failure_has_its_kind_and_tells_nothing_that_was_said() -> None:
    with tracing.call_span("m") as span:
        span.failed("rate_limited")
    with pytest.raises(ValueError), tracing.tool_span("search"):
        raise ValueError("the pin is 1234")
    assert attributes("chat m")["error.type"] == "rate_limited"
    assert attributes("execute_tool search")["error.type"] == "ValueError"
    assert named("execute_tool search").status.status_code is trace.StatusCode.ERROR
    assert "1234" not in named("execute_tool search").to_json()


def test_what_was_said_first_of_a_failure_stays() -> None:
    def call() -> None:
        with tracing.call_span("m") as span:
            span.failed("timeout")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        call()
    assert attributes("chat m")["error.type"] == "timeout"


def test_waiting_for_a_person_is_no_failure() -> None:
    with pytest.raises(GraphInterrupt), tracing.gate_span("pay", "r-1"):
        raise GraphInterrupt
    assert named("gate pay").status.status_code is trace.StatusCode.UNSET
    assert attributes("gate pay")["signoff.waits"] is True


def talk() -> None:
    asked = [HumanMessage("the key is sk-test-0123456789abcdefghij")]
    said = AIMessage("", tool_calls=[tool_call(name="search", args={"q": "tide"}, id="c1")])
    with tracing.call_span("m", messages=list(asked)) as span:
        span.answered(said)
    with tracing.tool_span("search", args={"q": "tide"}) as span:
        span.returned("twice a day")


class Letter(BaseModel):
    text: str


class Post(Artifact):
    text: str


POST = Action(name="post", description="Posts it.", arguments=Letter, call=lambda letter, key: {"sent": letter.text})


def test_each_question_and_each_decision_is_an_event_of_the_gate(home: Path) -> None:
    clerk: Agent[Post] = Agent(
        role="clerk",
        gives=Post,
        function=lambda task: Post(text=task.goal),
        actions=(POST,),
        propose=lambda post, task: [POST.propose(Letter(text=post.text), "it was asked for")],
    )
    run = Run.start(Team(name="office", agents=[clerk], policy=Policy({"post": "ask"})), "the secret word")
    asked = run.asked
    assert run.approve(args={"text": "another word"}, by="ann").status == "done"
    gates = [span for span in EXPORTER.get_finished_spans() if span.name == "gate post"]
    told = [dict(event.attributes or {}) for span in gates for event in span.events if event.name == "signoff.approval"]
    assert [one["signoff.approval.status"] for one in told] == ["pending", "approved"]
    assert [one["signoff.approval.by"] for one in told] == ["nobody", "person"]
    assert [one["signoff.approval.edited"] for one in told] == [False, True]
    assert {one["signoff.approval.id"] for one in told} == {asked.id}
    assert told[0]["signoff.approval.args_sha256"] == asked.shown_sha256
    assert "word" not in str(told)
    assert "ann" not in str(told)


def test_what_was_said_is_left_out_unless_it_is_wanted() -> None:
    talk()
    everything = " ".join(span.to_json() for span in EXPORTER.get_finished_spans())
    assert "tide" not in everything
    assert "twice" not in everything


def test_what_was_said_is_told_without_secrets_if_it_is_wanted() -> None:
    tracing.set_up(Settings(traces="api", traces_content=True))
    talk()
    assert attributes("chat m")["gen_ai.input.messages"] == (
        '[{"role": "user", "parts": [{"type": "text", "content": "the key is [redacted]"}]}]'
    )
    assert '"arguments": {"q": "tide"}' in attributes("chat m")["gen_ai.output.messages"]
    assert attributes("execute_tool search")["gen_ai.tool.call.arguments"] == '{"q": "tide"}'
    assert attributes("execute_tool search")["gen_ai.tool.call.result"] == '"twice a day"'


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(SettingsError, match="otlp, console, api"):
        tracing.set_up(Settings(traces="paper"))


PROGRAM = """
import sys
sys.modules["opentelemetry"] = None  # as if the package were not installed
from signoff.agents import tracing
from signoff.errors import MissingExtra
from signoff.settings import Settings
with tracing.run_span("r-1", "report") as run, tracing.call_span("m") as span:
    span.failed("x")
    span.note(a=1)
    assert run is span
for way in tracing.WAYS:
    try:
        tracing.set_up(Settings(traces=way))
    except MissingExtra as missing:
        print(missing)
"""


def test_while_it_is_off_nothing_is_needed_and_otherwise_it_is_told_what_to_install() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert said.stderr == ""
    assert said.stdout.count(extra_command("traces")) == 3


CONSOLE = """
from signoff.agents import tracing
with tracing.run_span("r-1", "report"):
    pass
"""


def test_the_setting_has_spans_written_to_standard_error() -> None:
    said = subprocess.run(
        [sys.executable, "-c", CONSOLE],
        env={**os.environ, "SIGNOFF_TRACES": "console"},
        capture_output=True,
        text=True,
    )
    assert '"invoke_workflow report"' in said.stderr
    assert '"service.name": "signoff"' in said.stderr
    assert said.stdout == ""
