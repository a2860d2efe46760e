"""What goes out as traces, as a collector of OpenTelemetry receives it: the names that docs list, and nothing else."""

import queue
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Run, Team
from signoff.agents import tracing
from signoff.settings import Settings
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools.tool import tool

SECRET = "sk-test-0123456789abcdefghijkl"
DOCS = Path(__file__).parents[2] / "docs" / "guards.md"
LAST = "invoke_workflow office"


class Collector:
    """An OTLP receiver on loopback."""

    def __init__(self) -> None:
        self._received = queue.Queue[tuple[str, bytes]]()
        received = self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.bodies = b""

    def collect(self, runs: int) -> None:
        """Wait until so many runs are told whole."""
        while sum(span.name == LAST for span in self.spans) < runs:
            path, body = self._received.get(timeout=120)
            assert path == "/v1/traces"
            self.bodies += body
            for found in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(values(found.resource.attributes))
                self.spans += [span for scope in found.scope_spans for span in scope.spans]


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{found.server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield found
    tracing.set_up(Settings())
    found.server.shutdown()
    found.server.server_close()
    thread.join()


class Letter(BaseModel):
    text: str


class Post(Artifact):
    text: str


def refuse(letter: Letter, key: str) -> dict[str, str]:
    raise ValueError(f"not with {SECRET}, said the tide")


POST = Action(name="post", description="Posts it.", arguments=Letter, call=lambda letter, key: {"sent": letter.text})
FAX = Action(name="fax", description="Faxes it.", arguments=Letter, call=refuse)


@tool(risk="read")
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} is water"


def propose(post: Post, task: Any) -> list[Any]:
    return [action.propose(Letter(text=post.text), "it was asked for") for action in (POST, FAX)]


def work() -> None:
    """A run with a call of a model, a tool, questions, an edit, and an action that breaks off."""
    script = [calls("look_up", word="tide"), gives(Post(text=f"the tide, {SECRET}"))]
    clerk = Agent(
        role="clerk", gives=Post, model=ScriptedModel(script), tools=(look_up,), actions=(POST, FAX), propose=propose
    )
    run = Run.start(Team(name="office", agents=[clerk], policy=Policy({"post": "ask", "fax": "ask"})), "the tide now")
    fax, post = sorted(run.approvals, key=lambda one: one.action)
    run.approve(approval=post.id, args={"text": "low water"}, by="zebedee")
    run.approve(approval=fax.id, by="zebedee")
    assert [outcome["status"] for outcome in run.values["outcomes"]] == ["done"]
    assert run.asked.action == "settle_outcome", "nobody knows whether it was faxed"


def test_a_collector_receives_the_names_that_docs_list_and_nothing_that_was_said(
    collector: Collector, home: Path
) -> None:
    tracing.set_up(Settings(traces="otlp"))
    work()
    collector.collect(3)
    names = {span.name for span in collector.spans}
    assert {"execute_tool look_up", "gate post", "act post", "act fax", "invoke_agent clerk", LAST} <= names
    assert any(name.startswith("chat ") for name in names)
    assert {resource["service.name"] for resource in collector.resources} == {"signoff"}

    told = [(span, values(span.attributes)) for span in collector.spans]
    (run_id,) = {found["signoff.run.id"] for span, found in told if span.name == LAST}
    assert {found.get("signoff.run.id", run_id) for _, found in told} == {run_id}
    assert len({span.trace_id for span, _ in told}) == len([span for span, _ in told if not span.parent_span_id])
    events = [event for span in collector.spans for event in span.events]
    assert {event.name for event in events} == {"signoff.approval"}
    decided = [values(event.attributes) for event in events]
    assert {(one["signoff.approval.action"], one["signoff.approval.status"]) for one in decided} == {
        *((action, status) for action in ("post", "fax") for status in ("pending", "approved")),
        ("settle_outcome", "pending"),
    }

    documented = set(re.findall(r"`((?:gen_ai|signoff|error|server)\.[a-z_.0-9]+)`", DOCS.read_text()))
    sent = {key for _, found in told for key in found} | {key for one in decided for key in one}
    assert sent <= documented, sent - documented
    for said in (b"tide", b"low water", b"zebedee", b"water", SECRET.encode()):
        assert said not in collector.bodies


def test_what_was_said_goes_out_without_secrets_where_that_is_wanted(collector: Collector, home: Path) -> None:
    tracing.set_up(Settings(traces="otlp", traces_content=True))
    work()
    collector.collect(3)
    for said in (b"the tide now", b"tide is water", b"low water"):
        assert said in collector.bodies
    assert SECRET.encode() not in collector.bodies
