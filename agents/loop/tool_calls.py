"""One call that a model makes: a tool is used, an action is proposed, and what came of it is text for the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from pydantic import ValidationError

from signoff.agents.agent import Outcome, OutcomeStatus, StepHeld
from signoff.agents.errors import ModelRefused, RecordingError, UnknownPrice
from signoff.agents.loop.parsing import tell_problems
from signoff.agents.loop.toolset import Toolset
from signoff.agents.loop.transcript import Call, Result, key_of
from signoff.agents.replay.exchange import Request
from signoff.agents.run_context import Say, current_payer
from signoff.agents.safety.injection import flags_of, mark
from signoff.agents.tracing import tool_span
from signoff.agents.usage import UsageCounter
from signoff.checkpoints import redact, redact_text
from signoff.checkpoints.errors import BudgetExhausted, StoreError
from signoff.concurrency import in_thread
from signoff.error_base import SettingsError, TeamError
from signoff.tools import LOOP_RISKS, Action, Tool
from signoff.tools.errors import CommandReturned, SourcesError
from signoff.wording import make_visible

_LONGEST_ERROR = 600
_LONGEST_OUTCOME = 4_000
"""Characters of an outcome of an earlier step."""
_MOST_CALLS = 32
"""Calls of one answer that are done."""

NOT_THE_STEPS = (ModelRefused, UnknownPrice, SettingsError, SourcesError, StoreError, RecordingError)
"""Errors that no other plan can mend: they end the process's attempt, and the run stays resumable."""
_ENDS_THE_STEP = (GraphBubbleUp, BudgetExhausted, StepHeld, CommandReturned, *NOT_THE_STEPS)


@dataclass(frozen=True)
class Terms:
    """How the calls of one answer are done."""

    longest: int
    """Characters of a result that the model can be shown."""
    steady: Mapping[str, str]
    """Marks of results that would be the same again, by the key of their call."""
    can_wait: bool
    """Whether the step can be held until it is known what became of what is proposed."""


async def do_call(calls: Sequence[Call], place: int, toolset: Toolset, counter: UsageCounter, how: Terms) -> Result:
    """What came of a call, one of those of an answer; what would only bring the same again is not called again."""
    call = calls[place]
    if call.problem:
        return Result(f"{call.name} was not called: {call.problem}. Call it again.")
    if place >= _MOST_CALLS:
        return Result(f"Not done: one answer may make {_MOST_CALLS} calls.")
    if call.name in toolset.actions:
        return propose(call, toolset.actions[call.name], counter.say, can_wait=how.can_wait)
    tool = toolset.tools.get(call.name)
    if tool is None:
        return Result(f"There is no tool {call.name[:80]!r}. There are: {toolset.names}.")
    if tool.steady:
        key = key_of(call.name, call.args)
        if key in how.steady:
            told = f"As before: {call.name} was called so in this step, and is not called again. Its result is above."
            return Result(told, same_as=how.steady[key])
        if any(key == key_of(other.name, other.args) for other in calls[:place]):
            return Result(f"As before: {call.name} is called once for all calls of one answer that are the same.")
    config = merge_configs(ensure_config(), {"callbacks": [counter]})
    return await _use(tool, call, config, min(how.longest, tool.limits.characters))


def propose(call: Call, action: Action[Any], say: Say, *, can_wait: bool) -> Result:
    """Note the action as proposed, now if the model waits for it; nothing if its arguments do not fit."""
    if call.problem:
        return Result(f"Not proposed: {call.problem}.", fits=False)
    try:
        proposal = action.propose(action.arguments.model_validate(call.args))
    except ValidationError as error:
        return Result(f"Not proposed, the arguments do not fit: {tell_problems(error)}.", fits=False)
    if can_wait and action.wait:
        return Result("", waits=proposal)
    say(f"proposes {call.name} {str(call.args)[:120]}")
    told = "Proposed. It has not happened; it will only happen if policy or a person allows it. Go on."
    return Result(told, proposal=proposal.model_dump(mode="json"))


_BECAME: dict[OutcomeStatus, str] = {
    "done": "Done.",
    "rejected": "A person rejected it, so it did not happen.",
    "answered": "A person said something instead of deciding, so it did not happen.",
    "denied": "Policy does not allow it, so it did not happen.",
    "expired": "Nobody decided in time, so it did not happen.",
    "revoked": "The approval was taken back, so it did not happen.",
    "failed": "It failed and did not happen.",
    "abandoned": "Nobody knows whether it happened. Say so where it matters, and do not propose it again.",
    "skipped": "This is a dry run: it was allowed, and nothing was called.",
}


_UNANSWERED: dict[OutcomeStatus, str] = {
    "rejected": "A person declined to answer.",
    "expired": "Nobody answered in time.",
}
"""The same of a question."""


def tell_outcome(outcome: Outcome, longest: int, *, is_question: bool = False) -> Result:
    """What became of a proposal, as the model reads it; what a service said of it is marked as from outside."""
    if outcome.status == "answered" and outcome.result:  # a question, in the words of a person
        answer = json.dumps(redact(outcome.result), ensure_ascii=False)
        return Result(f"A person answered: {make_visible(answer)}", outcome=outcome)
    became = {**_BECAME, **_UNANSWERED} if is_question else _BECAME
    told, args = [became[outcome.status]], json.dumps(redact(outcome.args), ensure_ascii=False)
    if outcome.is_edited:
        told.append(f"A person changed the arguments to {args}.")
    # How something expires is told to people in words of our own, which say what they can do.
    outside = [redact_text(outcome.detail)] if outcome.detail and outcome.status != "expired" else []
    if outside and outcome.status in ("rejected", "answered", "denied", "revoked"):
        told.append(make_visible(outside.pop()))  # in the words of a person, or of policy
    if outcome.status == "skipped":
        told.append(f"It would have been called with {args}.")
        return Result(" ".join(told), outcome=outcome)
    result = redact(outcome.result)
    if result:
        outside.append(json.dumps(result, ensure_ascii=False))
    elif outcome.status == "done":
        told.append("It returned nothing.")
    shown = _shown("\n".join(outside), outcome.action, longest) if outside else Result("")
    return Result("\n".join(filter(None, (" ".join(told), shown.content))), shown.flags, outcome=outcome)


def list_outcomes(outcomes: Sequence[Outcome]) -> str:
    """What became of what was proposed in earlier steps: one JSON object a line, without secrets."""
    lines = []
    for outcome in outcomes:
        told = {"action": outcome.action, "proposed by": outcome.role, "status": outcome.status, "args": outcome.args}
        result = {} if outcome.status == "skipped" else outcome.result
        line = json.dumps(
            redact(told | {name: value for name, value in (("detail", outcome.detail), ("result", result)) if value}),
            ensure_ascii=False,
        )
        lines.append(line if len(line) <= _LONGEST_OUTCOME else f"{line[:_LONGEST_OUTCOME]}… [cut]")
    return "\n".join(lines)


async def _use(tool: Tool, call: Call, config: RunnableConfig, longest: int) -> Result:
    """Call it; whatever it raises is told to the model, but for what ends the step."""
    payer, source = current_payer(), str((tool.metadata or {}).get("source") or tool.name)
    try:
        with tool_span(call.name, call_id=call.id, args=call.args) as span:
            if payer is not None and payer.cassette is not None:
                request = Request.of_tool(call.name, call.args, payer.item)
                content = await payer.cassette.play(request, partial(_called, tool, call, config))
            else:
                content = await _called(tool, call, config)
            span.returned(content)
        return replace(_shown(content, source, longest), is_steady=tool.steady)
    except _ENDS_THE_STEP:
        raise
    except ValidationError as error:
        return Result(f"{tool.name} was called wrongly: {tell_problems(error)}. Call it again with these put right.")
    except Exception as error:  # a tool is somebody else's code: what it raises is its result
        told = f"{tool.name} failed: {type(error).__name__}: {str(error)[:_LONGEST_ERROR]}"
        return _shown(told, source, longest)


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
    if isinstance(answer, Command):
        raise CommandReturned(tool.name)
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
