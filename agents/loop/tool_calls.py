"""One call that a model makes: a tool is used, an action is proposed, and what came of it is text for the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from signoff.agents.agent import StepHeld
from signoff.agents.errors import ModelRefused, TapeError, UnknownPrice
from signoff.agents.loop.parsing import tell_problems
from signoff.agents.loop.toolset import Toolset
from signoff.agents.loop.transcript import Call
from signoff.agents.replay.exchange import Request
from signoff.agents.run_context import Say, current_payer
from signoff.agents.safety.injection import flags_of, mark
from signoff.agents.tracing import tool_span
from signoff.agents.usage import UsageCounter
from signoff.checkpoints.errors import BudgetExhausted, StoreError
from signoff.concurrency import in_thread
from signoff.error_base import SettingsError, TeamError
from signoff.tools import LOOP_RISKS, Tool
from signoff.tools.errors import SourcesError

_LONGEST_ERROR = 600
_MOST_CALLS = 32
"""Calls of one answer that are done."""

NOT_THE_STEPS = (ModelRefused, UnknownPrice, SettingsError, SourcesError, StoreError, TapeError)
"""Errors that no other plan can mend: they end the process's attempt, and the run stays resumable."""
_ENDS_THE_STEP = (GraphBubbleUp, BudgetExhausted, StepHeld, *NOT_THE_STEPS)


@dataclass(frozen=True)
class Result:
    """What came of a call."""

    content: Any
    """Text, or a list of content blocks."""
    flags: tuple[str, ...] = ()
    """Orders that were found in it: nobody may follow them."""
    proposal: dict[str, Any] | None = None
    """What the call proposes."""


async def do_call(call: Call, place: int, toolset: Toolset, counter: UsageCounter) -> Result:
    """What came of a call; `place` counts the calls of its answer from 0."""
    if call.problem:
        return Result(f"{call.name} was not called: {call.problem}. Call it again.")
    if place >= _MOST_CALLS:
        return Result(f"Not done: one answer may make {_MOST_CALLS} calls.")
    if call.name in toolset.actions:
        return propose(call, toolset, counter.say)
    tool = toolset.tools.get(call.name)
    if tool is None:
        return Result(f"There is no tool {call.name[:80]!r}. There are: {toolset.names}.")
    return await _use(tool, call, merge_configs(ensure_config(), {"callbacks": [counter]}))


def propose(call: Call, toolset: Toolset, say: Say) -> Result:
    """Note the action as proposed; nothing if its arguments do not fit."""
    action = toolset.actions[call.name]
    if call.problem:
        return Result(f"Not proposed: {call.problem}.")
    try:
        proposal = action.propose(action.arguments.model_validate(call.args)).model_dump(mode="json")
    except ValidationError as error:
        return Result(f"Not proposed, the arguments do not fit: {tell_problems(error)}.")
    say(f"proposes {call.name} {str(call.args)[:120]}")
    told = "Proposed. It has not happened; it will only happen if policy or a person allows it. Go on."
    return Result(told, proposal=proposal)


async def _use(tool: Tool, call: Call, config: RunnableConfig) -> Result:
    """Call it; whatever it raises is told to the model, but for what ends the step."""
    payer = current_payer()
    try:
        with tool_span(call.name, call_id=call.id, args=call.args) as span:
            if payer is not None and payer.cassette is not None:
                request = Request.of_tool(call.name, call.args)
                content = await payer.cassette.play(request, partial(_called, tool, call, config))
            else:
                content = await _called(tool, call, config)
            span.returned(content)
        return _shown(content, _source_of(tool), tool.limits.characters)
    except _ENDS_THE_STEP:
        raise
    except ValidationError as error:
        return Result(f"{tool.name} was called wrongly: {tell_problems(error)}. Call it again with these put right.")
    except Exception as error:  # a tool is somebody else's code: what it raises is its result
        told = f"{tool.name} failed: {type(error).__name__}: {str(error)[:_LONGEST_ERROR]}"
        return _shown(told, _source_of(tool), tool.limits.characters)


def _source_of(tool: Tool) -> str:
    """Where what it returns comes from."""
    return str((tool.metadata or {}).get("source") or tool.name)


async def _called(tool: Tool, call: Call, config: RunnableConfig) -> Any:
    """What it returns; what takes longer than the tool may is not waited for."""
    if tool.risk not in LOOP_RISKS:
        raise TeamError(f"Tool {tool.name!r} is {tool.risk}, which is never called in an agent's loop. Propose it.")
    use = {"type": "tool_call", "name": call.name, "args": dict(call.args), "id": call.id}
    waiting = tool.ainvoke(use, config) if tool.coroutine is not None else in_thread(tool.invoke, use, config)
    try:
        async with asyncio.timeout(tool.limits.seconds) as limit:
            answer = await waiting
    except TimeoutError:
        if not limit.expired():
            raise
        return f"{tool.name} gave nothing within {tool.limits.seconds:g} seconds and was left. Ask for less, or go on."
    return answer.content if isinstance(answer, ToolMessage) else str(answer)


def _shown(content: Any, source: str, longest: int) -> Result:
    """The content bounded, marked as what it is, and searched for orders."""
    if isinstance(content, str):
        text = _bound(content, longest)
        return Result(mark(text, source), flags_of(text, source))
    if not isinstance(content, list):
        return _shown(str(content), source, longest)
    shown = [
        _shown(block if isinstance(block, str) else block["text"], source, longest) if _is_text(block) else block
        for block in content
    ]
    return Result(
        [{"type": "text", "text": part.content} if isinstance(part, Result) else part for part in shown],
        tuple(flag for part in shown if isinstance(part, Result) for flag in part.flags),
    )


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and isinstance(block.get("text"), str))


def _bound(text: str, longest: int) -> str:
    """The text, cut with a note if it is too long to be shown."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n[cut: these are the first {longest:,} of {len(text):,} characters]"
