"""Tools of agents: a plain typed function becomes one, and its risk says whether it is called or only proposed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final, TypedDict, Unpack, get_args, get_type_hints, overload

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool
from pydantic import BaseModel, ConfigDict, create_model

from signoff.concurrency import run
from signoff.error_base import TeamError
from signoff.tools.action import NOTHING, Action, LoopRisk, Risk, ToolLimits as ToolLimits, Touches as Touches
from signoff.tools.mcp.schema import arguments_of, check_schema

LOOP_RISKS: Final = get_args(LoopRisk)
ACTION_RISKS: Final = get_args(Risk)

Function = Callable[..., Any]
"""A typed function with a docstring, `async` or not."""
Reconcile = Callable[[Any, str], Mapping[str, Any] | None]
"""Looks whether a call with these arguments and key took effect: its result, or None if it did not."""


class _Key(InjectedToolArg):
    """Marks the parameter that takes the idempotency key; no model fills it in."""


IdempotencyKey = Annotated[str, _Key()]
"""Type of an action's parameter that is given its idempotency key, the same whenever this very action is called."""


class Signed:
    """A method that knows its signature, and the types in it: LangChain works them out whenever it calls any other."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        own, *others = inspect.signature(function).parameters.values()
        del own
        self._signature = inspect.Signature(others)
        function.__annotations__ = get_type_hints(function)

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self._function
        method = partial(self._function, instance)
        method.__signature__ = self._signature  # type: ignore[attr-defined]  # what `inspect` looks for first
        return method


class Tool(StructuredTool):
    """A LangChain tool that an agent may call inside its own loop: it reads, or works in a sandbox."""

    model_config = ConfigDict(frozen=True, ignored_types=(Signed,))

    risk: LoopRisk
    steady: bool = False
    """Whether the same call brings the same as long as a step lasts: then it is made once, and pointed back to."""
    touches: Touches = NOTHING
    limits: ToolLimits = ToolLimits()

    @Signed
    def _run(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
        return super()._run(*args, config=config, run_manager=run_manager, **kwargs)

    @Signed
    async def _arun(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
        return await super()._arun(*args, config=config, run_manager=run_manager, **kwargs)


def _explain(name: str, error: Any) -> str:
    """What a model that gave wrong arguments is answered."""
    problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
    return f"{name} was called wrongly. {'; '.join(problems)}. Call it again with these put right."


class _Arguments(BaseModel):
    """Arguments of an action made from a function: what is not asked for is not taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Options(TypedDict, total=False):
    name: str
    description: str
    arguments: type[BaseModel] | None
    touches: Touches
    limits: ToolLimits | None


class _LoopOptions(_Options, total=False):
    steady: bool


class _ActionOptions(_Options, total=False):
    idempotent: bool
    reconcile: Reconcile | None
    preview: Callable[[Any], str] | None
    fixed: frozenset[str]
    wait: bool
    gives: type[BaseModel] | None


@overload
def tool(*, risk: LoopRisk, **options: Unpack[_LoopOptions]) -> Callable[[Function | BaseTool], Tool]: ...
@overload
def tool(*, risk: Risk, **options: Unpack[_ActionOptions]) -> Callable[[Function | BaseTool], Action[Any]]: ...
@overload
def tool(
    *, risk: LoopRisk | Risk, **options: Unpack[_Options]
) -> Callable[[Function | BaseTool], Tool | Action[Any]]: ...
def tool(
    function: Function | BaseTool | None = None,
    /,
    *,
    risk: str = "",
    name: str = "",
    description: str = "",
    arguments: type[BaseModel] | None = None,
    touches: Touches | None = None,
    limits: ToolLimits | None = None,
    steady: bool = False,
    **of_action: Any,
) -> Callable[[Function | BaseTool], Tool | Action[Any]]:
    """Make a tool of a typed function with a docstring, or of a LangChain tool: a decorator.

    With risk `read` or `sandboxed` it is a `Tool`, which agents call in their loop; `steady` is that of Tool. With
    `write`, `external` or `irreversible` it is an `Action`: only proposed, and done at the gate. Then `idempotent`,
    `reconcile`, `preview`, `fixed`, `wait` and `gives` are those of Action, a parameter of type IdempotencyKey is given
    the key, and only an Action with `limits` is given up on: what came of it is then unknown.
    """

    def make(given: Function | BaseTool) -> Tool | Action[Any]:
        label = name or (given.name if isinstance(given, BaseTool) else getattr(given, "__name__", "tool"))
        risks = ", ".join(LOOP_RISKS + ACTION_RISKS)
        if not risk or function is not None:
            how = f"@tool(risk={risk or 'read'!r})"
            raise TeamError(f"Tool {label!r}: say its risk in parentheses, as in {how}. It is one of {risks}.")
        if risk not in (*LOOP_RISKS, *ACTION_RISKS):
            raise TeamError(f"Tool {label!r}: {risk!r} is no risk. Say one of {risks}.")
        if risk in LOOP_RISKS and of_action:
            raise TeamError(f"Tool {label!r}: {min(of_action)!r} is for actions, and its risk is {risk!r}.")
        if risk in ACTION_RISKS and steady:
            raise TeamError(f"Tool {label!r}: 'steady' is for tools of the loop, and its risk is {risk!r}.")
        base = _structured(given, label, description, arguments)
        _check_injected(base, in_loop=risk in LOOP_RISKS)
        if risk in LOOP_RISKS:
            own = {field: getattr(base, field) for field in StructuredTool.model_fields if field != "callbacks"}
            own["handle_validation_error"] = own["handle_validation_error"] or partial(_explain, label)
            return Tool(**own, risk=risk, steady=steady, touches=touches or NOTHING, limits=limits or ToolLimits())
        return Action(
            name=label,
            description=base.description,
            arguments=arguments or _arguments_of(base),
            call=_caller(base),
            risk=risk,  # type: ignore[arg-type]  # one of them, see above
            touches=touches or NOTHING,
            limits=limits,
            **of_action,
        )

    if function is not None:
        make(function)  # raises
    return make


def _structured(
    given: Function | BaseTool, name: str, description: str, arguments: type[BaseModel] | None
) -> StructuredTool:
    """The LangChain tool of a function, or of another kind of LangChain tool; TeamError for what cannot be one."""
    if isinstance(given, StructuredTool):
        changed = {"name": name, "description": description or given.description}
        return given.model_copy(update=changed | ({"args_schema": arguments} if arguments else {}))
    if isinstance(given, BaseTool):

        def run(**kwargs: Any) -> Any:
            return given.invoke(kwargs)

        async def arun(**kwargs: Any) -> Any:
            return await given.ainvoke(kwargs)

        schema = arguments or given.args_schema or given.get_input_schema()
        return StructuredTool(
            name=name, description=description or given.description, args_schema=schema, func=run, coroutine=arun
        )
    _check_signature(given, name, described=bool(description))
    waits = inspect.iscoroutinefunction(given)
    return StructuredTool.from_function(
        func=None if waits else given,
        coroutine=given if waits else None,
        name=name,
        description=description or None,
        args_schema=arguments,
        infer_schema=arguments is None,
        parse_docstring=arguments is None,
    )


def _check_signature(function: Function, name: str, *, described: bool) -> None:
    """A model is told the parameters by their names, types and docstring."""
    if not callable(function):
        raise TeamError(f"Tool {name!r} is a {type(function).__name__}. Give a function or a LangChain tool.")
    if not described and not (function.__doc__ or "").strip():
        raise TeamError(f"Tool {name!r} has no docstring, so that no model knows what it does. Write one.")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TeamError(f"Tool {name!r}: the parameter {str(parameter)!r} has no name to be given by. Name it.")
        if parameter.annotation is parameter.empty:
            raise TeamError(f"Tool {name!r}: the parameter {parameter.name!r} has no type. Annotate it.")


def _check_injected(base: StructuredTool, *, in_loop: bool) -> None:
    """TeamError for a parameter that only LangGraph's ToolNode fills in: the model would be asked for it in vain."""
    schema: Any = base.args_schema
    asked: Any = base.tool_call_schema
    if isinstance(schema, dict):
        return
    given = InjectedToolCallId if in_loop else _Key
    for name, field in schema.model_fields.items():
        marks = [mark if isinstance(mark, type) else type(mark) for mark in field.metadata]
        if name not in asked.model_fields and not any(issubclass(mark, given) for mark in marks):
            raise TeamError(
                f"Tool {base.name!r}: {name!r} is filled in by LangGraph's ToolNode, which does not call it here. "
                "Leave it out: in the function langgraph.runtime.get_runtime() has the context and the store, and "
                "langgraph.config.get_config() the thread. What it needs of the state, let it take as an argument."
            )


def _arguments_of(base: StructuredTool) -> type[BaseModel]:
    """The arguments of an action: those of the function without what is injected, and no others."""
    if isinstance(base.args_schema, dict):  # as tools of MCP servers have it
        if problem := check_schema(base.args_schema):
            raise TeamError(f"Action {base.name!r}: its arguments' schema cannot be used: {problem}. Give arguments=.")
        return arguments_of(base.name, base.args_schema)
    schema = base.tool_call_schema
    found: type[Any] | None = schema if isinstance(schema, type) else None
    if found is None or not issubclass(found, BaseModel):
        raise TeamError(f"Action {base.name!r} has no pydantic model of its arguments. Give one: arguments=.")
    fields: dict[str, Any] = {field: (info.annotation, info) for field, info in found.model_fields.items()}
    return create_model(base.name, __base__=_Arguments, **fields)


def _caller(base: StructuredTool) -> Callable[[BaseModel, str], Mapping[str, Any]]:
    """Calls the function of an action, with its key if it wants it; what it returns becomes a mapping."""
    function = base.func or base.coroutine
    if function is None:
        raise TeamError(f"Tool {base.name!r} has nothing to call. Give it a function.")
    hints = get_type_hints(function, include_extras=True)
    keys = [name for name, hint in hints.items() if any(isinstance(one, _Key) for one in get_args(hint)[1:])]
    configs = [name for name, hint in hints.items() if hint is RunnableConfig]

    def call(arguments: BaseModel, key: str) -> Mapping[str, Any]:
        values = dict(arguments)
        result = function(**values, **dict.fromkeys(keys, key), **{name: ensure_config() for name in configs})
        if inspect.isawaitable(result):
            result = run(_wait_for(result), alone=True)
        if base.response_format == "content_and_artifact":
            result, _ = result  # as a model is told
        if isinstance(result, BaseModel):
            result = result.model_dump(mode="json")
        return result if isinstance(result, Mapping) else {} if result is None else {"result": result}

    return call


async def _wait_for(result: Awaitable[Any]) -> Any:
    return await result
