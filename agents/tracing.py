"""Traces: what a run does as OpenTelemetry spans, named as its conventions for generative AI name them.

Off unless `SIGNOFF_TRACES` says where they go; then nothing of OpenTelemetry is imported, and a span is one object that
does nothing. The context carries the parents, through threads and event loops. The conventions are those of
semantic-conventions-genai in 2026; what they have no name for is under `signoff.`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.errors import GraphBubbleUp

from signoff.checkpoints import redact
from signoff.error_base import MissingExtra, SettingsError
from signoff.installation import VERSION
from signoff.settings import Settings, load_settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan, Tracer

    from signoff.agents.run_context import Payer

WAYS: Final = ("otlp", "console", "api")
"""Over HTTP to what `OTEL_EXPORTER_OTLP_*` names; to standard error; to the provider that the program has set up."""


class _Untraced:
    """The span of everything while traces are off: it does nothing."""

    is_recording = False

    def note(self, **attributes: Any) -> None: ...
    def failed(self, kind: str) -> None: ...
    def answered(self, message: AIMessage, nusd: int = 0) -> None: ...
    def returned(self, result: Any) -> None: ...
    def told(self, name: str, **attributes: Any) -> None: ...


_UNTRACED: Final = nullcontext(_Untraced())


class _Traced:
    """A span of OpenTelemetry."""

    is_recording = True

    def __init__(self, span: OtelSpan, content: bool) -> None:
        self._span, self._content = span, content

    def note(self, **attributes: Any) -> None:
        """Add attributes, under `signoff.`; those that are None are left out."""
        found = {f"signoff.{name.replace('__', '.')}": value for name, value in attributes.items() if value is not None}
        self._span.set_attributes(found)

    def failed(self, kind: str) -> None:
        """It failed, in this way; what it failed with may hold what people wrote, and is not told."""
        from opentelemetry.trace import Status, StatusCode

        if "error.type" in (getattr(self._span, "attributes", None) or {}):
            return  # the first to say it knew best
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, kind))

    def answered(self, message: AIMessage, nusd: int = 0) -> None:
        """A model answered: what it used and cost."""
        usage = cast(Mapping[str, Any], message.usage_metadata or {})
        metadata = message.response_metadata
        finish = metadata.get("finish_reason")
        found = {
            "gen_ai.response.model": metadata.get("model_name"),
            "gen_ai.response.id": metadata.get("id"),
            "gen_ai.response.finish_reasons": [str(finish)] if finish else None,
            "gen_ai.usage.input_tokens": usage.get("input_tokens"),
            "gen_ai.usage.output_tokens": usage.get("output_tokens"),
            "gen_ai.usage.cache_read.input_tokens": usage.get("input_token_details", {}).get("cache_read"),
            "gen_ai.usage.reasoning.output_tokens": usage.get("output_token_details", {}).get("reasoning"),
            "signoff.cost.usd": nusd / 1e9,
        }
        self._span.set_attributes({name: value for name, value in found.items() if value is not None})
        if self._content:
            self._span.set_attribute("gen_ai.output.messages", _as_json([message]))

    def told(self, name: str, **attributes: Any) -> None:
        """An event of this name, of ours; its attributes begin with the name."""
        self._span.add_event(f"signoff.{name}", {f"signoff.{name}.{key}": value for key, value in attributes.items()})

    def returned(self, result: Any) -> None:
        """A tool returned this."""
        if self._content:
            self._span.set_attribute("gen_ai.tool.call.result", _as_json(result))


Span: TypeAlias = _Traced | _Untraced
"""A piece of work that is traced, or not."""
Spanning: TypeAlias = AbstractContextManager[Span]
"""What it is done inside of."""


class _Tracing(NamedTuple):
    """Where spans go, and whether they hold what was said."""

    tracer: Tracer
    content: bool


_tracing: _Tracing | None = None
_is_set = False
_setting: Final = threading.Lock()


def run_span(run_id: str, team: str) -> Spanning:
    """Driving a run: until it ends or waits for a person."""
    about = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": team}
    return _span(f"invoke_workflow {team}", about, run_id)


def agent_span(role: str, run_id: str, *, tier: str = "", tries: int | None = None) -> Spanning:
    """One step of an agent; `tries` counts those of this step, from 1."""
    about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": role}
    return _span(f"invoke_agent {role}", {**about, "signoff.tier": tier, "signoff.tries": tries}, run_id)


def call_span(
    model: str,
    *,
    tier: str = "",
    endpoint: str = "",
    payer: Payer | None = None,
    tries: int | None = None,
    messages: list[BaseMessage] | None = None,
) -> Spanning:
    """One try of a call of a model at this endpoint (host and port)."""
    address, _, port = endpoint.rpartition(":") if endpoint.rpartition(":")[2].isdecimal() else (endpoint, "", "")
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider(model, address),
        "gen_ai.request.model": model,
        "server.address": address,
        "server.port": int(port) if port else None,
        "gen_ai.agent.name": payer.role if payer is not None else "",
        "signoff.tier": tier,
        "signoff.tries": tries,
    }
    run_id = payer.run_id if payer is not None else ""
    return _span(f"chat {model}", about, run_id, {"gen_ai.input.messages": messages or None}, client=True)


def tool_span(name: str, *, call_id: str = "", args: Mapping[str, Any] | None = None) -> Spanning:
    """One call of a tool that only reads."""
    return _span(f"execute_tool {name}", _of_tool(name, call_id), said={"gen_ai.tool.call.arguments": args})


def gate_span(action: str, run_id: str) -> Spanning:
    """A proposal at the gate."""
    return _span(f"gate {action}", {"signoff.action": action}, run_id)


def act_span(action: str, run_id: str, *, key: str = "", args: Mapping[str, Any] | None = None) -> Spanning:
    """An approved action that is called; `key` is its idempotency key."""
    about = {**_of_tool(action, key), "signoff.action": action}
    return _span(f"act {action}", about, run_id, {"gen_ai.tool.call.arguments": args})


def set_up(settings: Settings) -> None:
    """Trace as these settings say from now on; SettingsError for no known way, MissingExtra if a package is missing."""
    global _tracing, _is_set
    with _setting:
        _tracing, _is_set = _built(settings), True


def _opened() -> _Tracing | None:
    """Where spans go; settings are read once, when the first begins."""
    if not _is_set:
        set_up(load_settings())
    return _tracing


def _built(settings: Settings) -> _Tracing | None:
    way = settings.traces.strip().lower()
    if way in ("", "off", "none"):
        return None
    if way not in WAYS:
        raise SettingsError("SIGNOFF_TRACES", f"{way!r} is no way to trace", f"Use one of: {', '.join(WAYS)}.")
    try:
        from opentelemetry import trace

        provider = trace.get_tracer_provider() if way == "api" else _provider_of(way)
    except ImportError as error:
        raise MissingExtra(f"Tracing with SIGNOFF_TRACES={way}", "traces") from error
    return _Tracing(provider.get_tracer("signoff", VERSION), settings.traces_content)


def _provider_of(way: str) -> Any:
    """A provider of our own: one that the program has set up stays as it is. It is flushed when the process ends."""
    import sys

    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    named = Resource.create()
    if str(named.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        named = named.merge(Resource({SERVICE_NAME: "signoff"}))  # after the environment's OTEL_SERVICE_NAME
    provider = TracerProvider(resource=named)
    if way == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _span(
    name: str,
    about: Mapping[str, Any],
    run_id: str = "",
    said: Mapping[str, Any] = MappingProxyType({}),
    *,
    client: bool = False,
) -> Spanning:
    """A span with these attributes; it holds what was `said` only if traces do."""
    tracing = _opened()
    if tracing is None:
        return _UNTRACED
    # A run is one conversation of the conventions: its thread.
    attributes = {**about, "signoff.run.id": run_id, "gen_ai.conversation.id": run_id.partition("~")[0]}
    if tracing.content:
        attributes |= {key: _as_json(value) for key, value in said.items() if value is not None}
    return _begun(tracing, name, {key: value for key, value in attributes.items() if value not in (None, "")}, client)


@contextmanager
def _begun(tracing: _Tracing, name: str, attributes: Mapping[str, Any], client: bool) -> Iterator[_Traced]:
    """A span that is the parent of what begins inside, unless it is a client's call.

    A call of a model may be a stream, which is read and closed in other contexts than it began in; and nothing of ours
    begins inside it.
    """
    from opentelemetry import context, trace

    kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
    span = tracing.tracer.start_span(name, kind=kind, attributes=attributes)
    token = None if client else context.attach(trace.set_span_in_context(span))
    traced = _Traced(span, tracing.content)
    try:
        yield traced
    except GraphBubbleUp:
        traced.note(waits=True)  # for a person: that is no failure
        raise
    except BaseException as error:
        traced.failed(type(error).__qualname__)
        raise
    finally:
        if token is not None:
            context.detach(token)
        span.end()


def _of_tool(name: str, call_id: str) -> dict[str, Any]:
    about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    return {**about, "gen_ai.tool.call.id": call_id}


def _provider(model: str, address: str) -> str:
    """Who serves the model, as the conventions call them; an endpoint that speaks OpenAI's language is `openai`."""
    known = {"anthropic": "anthropic", "googleapis": "gcp.gemini", "mistral": "mistral_ai", "groq": "groq"}
    known |= {"deepseek": "deepseek", "x.ai": "x_ai", "azure": "azure.ai.openai", "bedrock": "aws.bedrock"}
    return next((name for part, name in known.items() if part in address), known.get(model.partition("-")[0], "openai"))


def _as_json(value: Any) -> str:
    """As JSON without secrets; messages as the conventions write them."""
    return json.dumps(redact(json.loads(json.dumps(value, default=_plain))), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if not isinstance(value, BaseMessage):
        return str(value)
    parts: list[dict[str, Any]] = [{"type": "text", "content": value.text}] if value.text else []
    for call in getattr(value, "tool_calls", ()):
        parts.append({"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["args"]})
    if isinstance(value, ToolMessage):
        parts = [{"type": "tool_call_response", "id": value.tool_call_id, "result": value.text}]
    return {"role": {"human": "user", "ai": "assistant"}.get(value.type, value.type), "parts": parts}
