"""One call that a model makes: a tool is used, an action is proposed, and what came of it is text for the model."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from signoff.agents.agent import StepHeld
from signoff.agents.errors import ModelRefused, RecordingError, UnknownPrice
from signoff.agents.loop.parsing import tell_problems
from signoff.agents.loop.toolset import Toolset
from signoff.agents.loop.transcript import Call, Result
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

NOT_THE_STEPS = (ModelRefused, UnknownPrice, SettingsError, SourcesError, StoreError, RecordingError)
"""Errors that no other plan can mend: they end the process's attempt, and the run stays resumable."""
_ENDS_THE_STEP = (GraphBubbleUp, BudgetExhausted, StepHeld, *NOT_THE_STEPS)


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
    payer, source = current_payer(), str((tool.metadata or {}).get("source") or tool.name)
    try:
        with tool_span(call.name, call_id=call.id, args=call.args) as span:
            if payer is not None and payer.cassette is not None:
                request = Request.of_tool(call.name, call.args)
                content = await payer.cassette.play(request, partial(_called, tool, call, config))
            else:
                content = await _called(tool, call, config)
            span.returned(content)
        return _shown(content, source, tool.limits.characters)
    except _ENDS_THE_STEP:
        raise
    except ValidationError as error:
        return Result(f"{tool.name} was called wrongly: {tell_problems(error)}. Call it again with these put right.")
    except Exception as error:  # a tool is somebody else's code: what it raises is its result
        told = f"{tool.name} failed: {type(error).__name__}: {str(error)[:_LONGEST_ERROR]}"
        return _shown(told, source, tool.limits.characters)


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
    if isinstance(content, list):
        blocks: list[Any] = []
        flags: list[str] = []
        for block in content:
            text = block.get("text") if isinstance(block, dict) else block
            if isinstance(text, str):
                shown = _shown(text, source, longest)
                blocks.append({"type": "text", "text": shown.content})
                flags += shown.flags
            else:
                blocks.append(block)
        return Result(blocks, tuple(flags))
    text = str(content)
    if len(text) > longest:
        text = f"{text[:longest]}\n[cut: these are the first {longest:,} of {len(text):,} characters]"
    return Result(mark(text, source), flags_of(text, source))
