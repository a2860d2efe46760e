"""A chat model that answers from a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Literal

from langchain_core import exceptions
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr
from typing_extensions import override

from signoff.testing.script import Call, Drop, Failure, Garble, Hang, Pick, Played, Player, Reply, Script, ToolUse
from signoff.testing.wire import Answer, fit, pieces


class ScriptedModel(BaseChatModel):
    """Says what its script says: no network, no clock, nothing invented. Threads and a whole team may share one.

        model = ScriptedModel(["Paris", calls("search", query="x"), gives(Evidence(question="Where?"))])

    A mapping holds one script per agent; the key that a prompt mentions first picks it, or `pick(call)` does.
    `create_agent(response_format=…)` asks it by tool; with `profile={"structured_output": True}` by JSON schema.
    Faults raise the classes of `langchain_core.exceptions` that the errors of `ChatOpenAI` are made of.
    """

    is_double: ClassVar[bool] = True
    """It costs nothing, whatever its name."""

    model_name: str = "scripted"

    _player: Player = PrivateAttr()

    def __init__(self, script: Script, *, pick: Pick | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._player = Player(script, pick)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, with its messages, tools and response format."""
        return self._player.calls

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, which are recorded with each call."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answer with a value of this schema; the methods and the default are those of `ChatOpenAI`."""
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        answered = self.bind(response_format={"type": "json_object"} if method == "json_mode" else _asking_for(schema))
        is_model = isinstance(schema, type) and issubclass(schema, BaseModel)
        parser: Runnable[Any, Any] = PydanticOutputParser(pydantic_object=schema) if is_model else JsonOutputParser()
        if not include_raw:
            return answered | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=answered) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    @override
    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        call, played = self._play(messages, kwargs)
        return ChatResult(generations=[ChatGeneration(message=message(fit(reply_of(played), call), self.model_name))])

    @override
    def _stream(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        call, played = self._play(messages, kwargs)
        if isinstance(played, Drop) and played.reply is not None:
            begun = list(chunks(fit(played.reply, call), self.model_name))
            yield from (ChatGenerationChunk(message=chunk) for chunk in begun[: len(begun) // 2])
        answer = fit(reply_of(played), call)
        yield from (ChatGenerationChunk(message=chunk) for chunk in chunks(answer, self.model_name))

    @override
    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages, **kwargs)

    @override
    async def _astream(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, **kwargs):
            yield chunk

    def _play(self, messages: Sequence[BaseMessage], bound: dict[str, Any]) -> tuple[Call, Played]:
        wanted = bound.get("response_format")
        asked = Call(
            messages=tuple(messages),
            tools=tuple(bound.get("tools") or ()),
            tool_choice=bound.get("tool_choice"),
            response_format=wanted if wanted is None or isinstance(wanted, dict) else _asking_for(wanted),
            model=self.model_name,
        )
        call = self._player.record(asked)
        return call, self._player.play(call)


def _asking_for(schema: dict[str, Any] | type) -> dict[str, Any]:
    """The response format that asks for values of this schema."""
    described = convert_to_json_schema(schema)
    return {"type": "json_schema", "json_schema": {"name": described["title"], "schema": described}}


_BY_STATUS: dict[int, type[exceptions.ModelError]] = {
    401: exceptions.ModelAuthenticationError,
    403: exceptions.ModelPermissionDeniedError,
    404: exceptions.ModelNotFoundError,
    429: exceptions.ModelRateLimitError,
}


def message(answer: Answer, model: str) -> AIMessage:
    """The answer in one piece; arguments that are no JSON object become an invalid tool call."""
    uses = [_parsed(use) for use in answer.tools]
    return AIMessage(
        content=answer.text,
        tool_calls=[use for use in uses if use["type"] == "tool_call"],
        invalid_tool_calls=[use for use in uses if use["type"] == "invalid_tool_call"],
        **_about(answer, model),
    )


def chunks(answer: Answer, model: str) -> Iterator[AIMessageChunk]:
    """The answer piece by piece; usage and the reason to stop come with the last."""
    for piece in pieces(answer.text):
        yield AIMessageChunk(content=piece)
    for index, use in enumerate(answer.tools):
        opening = tool_call_chunk(name=use.name, args="", id=use.id, index=index)
        yield AIMessageChunk(content="", tool_call_chunks=[opening])
        for piece in pieces(use.arguments):
            yield AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=piece, index=index)])
    yield AIMessageChunk(content="", chunk_position="last", **_about(answer, model))


def reply_of(played: Played) -> Reply:
    """What is said; raises exceptions, and faults in the classes every provider's errors are made of."""
    match played:
        case Reply():
            return played
        case BaseException():
            raise played
        case Failure(status, message):
            other = exceptions.ModelAPIError if status >= 500 else exceptions.ModelInvalidRequestError
            raise _BY_STATUS.get(status, other)(f"Error code: {status} - {message}")
        case Hang():
            raise exceptions.ModelTimeoutError("Request timed out.")
        case Drop():
            raise exceptions.ModelConnectionError("Connection error.")
        case Garble(body):
            raise json.JSONDecodeError("Scripted garble", body, 0)


def _parsed(use: ToolUse) -> ToolCall | InvalidToolCall:
    problem = "the arguments are no JSON object"
    try:
        arguments = json.loads(use.arguments)
    except ValueError as broken:
        arguments, problem = None, str(broken)
    if isinstance(arguments, dict):
        return tool_call(name=use.name, args=arguments, id=use.id)
    return invalid_tool_call(name=use.name, args=use.arguments, id=use.id, error=problem)


def _about(answer: Answer, model: str) -> dict[str, Any]:
    """What a message tells besides its content."""
    asked, said = answer.input_tokens, answer.output_tokens
    return {
        "additional_kwargs": {} if answer.refusal is None else {"refusal": answer.refusal},
        "usage_metadata": UsageMetadata(input_tokens=asked, output_tokens=said, total_tokens=asked + said),
        "response_metadata": {"model_name": model, "model_provider": "scripted", "finish_reason": answer.finish},
    }
