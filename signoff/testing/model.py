"""A chat model that answers from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr
from typing_extensions import override

from signoff.testing.answer import fit
from signoff.testing.call import Call
from signoff.testing.messages import chunks, error, message
from signoff.testing.replies import Drop, Reply
from signoff.testing.script import Pick, Played, Player, Script


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
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, which are recorded with each call."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

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
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call, played = self._play(messages, kwargs)
        if not isinstance(played, Reply):
            raise played if isinstance(played, BaseException) else error(played)
        return ChatResult(generations=[ChatGeneration(message=message(fit(played, call), self.model_name))])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call, played = self._play(messages, kwargs)
        if isinstance(played, Drop) and played.reply is not None:
            begun = list(chunks(fit(played.reply, call), self.model_name))
            yield from (ChatGenerationChunk(message=chunk) for chunk in begun[: len(begun) // 2])
        if not isinstance(played, Reply):
            raise played if isinstance(played, BaseException) else error(played)
        yield from (ChatGenerationChunk(message=chunk) for chunk in chunks(fit(played, call), self.model_name))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, **kwargs)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
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
