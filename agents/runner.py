"""Runs one step: prepare, the body (model or function), the check, and what is proposed in consequence."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from langgraph.errors import GraphBubbleUp

from signoff import concurrency
from signoff.agents.agent import Agent, StepFailed as StepFailed, StepHeld as StepHeld, Task, Waiting  # offered here
from signoff.agents.artifacts import Artifact, Verdict
from signoff.agents.errors import ModelUnreachable, WorkFailed
from signoff.agents.loop.loop import Loop
from signoff.agents.loop.tool_calls import NOT_THE_STEPS
from signoff.agents.run_context import current_payer
from signoff.agents.tracing import agent_span
from signoff.agents.usage import Usage
from signoff.checkpoints import check_storable, readable_text
from signoff.checkpoints.errors import BudgetExhausted
from signoff.concurrency import call, in_thread
from signoff.error_base import SignoffError, TeamError
from signoff.tools import Proposal
from signoff.tools.storage import current_thread

_NOT_THEIRS = tuple(str(path) for path in (Path(__file__).parents[1], *map(sysconfig.get_path, ("stdlib", "purelib"))))
"""Where no code of a team's author lies."""


@dataclass(frozen=True)
class Work:
    """What came of one step."""

    artifact: Artifact
    proposals: tuple[Proposal, ...]
    usage: Usage
    flags: tuple[str, ...] = ()
    """Orders that were found in what it was made from, where there should be none."""


def do_work(agent: Agent[Any], task: Task) -> Work:
    """Do the step; StepFailed if it could not be done, StepHeld if a budget ended amid it."""
    agent = agent.at(task)
    with _step(agent, task) as loop:
        if agent.prepare is not None:
            call(agent.prepare, task)
        if agent.model is not None:
            loop.opening = call(agent.opening, task) if agent.opening is not None else ""
        given = (
            concurrency.run(_by_model(agent, task, loop))
            if agent.model is not None
            else call(_run_function, agent, task, loop)
        )
        if agent.read is agent.check is agent.propose is None:
            return _finish(agent, task, given, loop)
        return call(_finish, agent, task, given, loop)


async def ado_work(agent: Agent[Any], task: Task) -> Work:
    """Do the step without blocking the event loop; StepFailed or StepHeld as above."""
    agent = agent.at(task)
    with _step(agent, task) as loop:
        if agent.prepare is not None:
            await in_thread(agent.prepare, task)
        if agent.model is not None:
            loop.opening = await in_thread(agent.opening, task) if agent.opening is not None else ""
            given = await _by_model(agent, task, loop)
        elif inspect.iscoroutinefunction(agent.function) and not concurrency.is_background():
            with _counting(loop):
                given = await agent.function(task)  # on the caller's own loop; one of ours it must not hold up
        else:
            given = await in_thread(_run_function, agent, task, loop)
        if agent.read is agent.check is agent.propose is None:
            return _finish(agent, task, given, loop)
        return await in_thread(_finish, agent, task, given, loop)


@contextmanager
def _step(agent: Agent[Any], task: Task) -> Iterator[Loop]:
    """A step, as a span of its trace; a body is somebody else's code, so anything may come out of it."""
    loop, payer, outer = Loop(agent, task), current_payer(), _outer.get()
    token = _outer.set(None)
    try:
        waiting: Waiting | None = None
        with agent_span(agent.role, payer.run_id if payer is not None else "", tier=agent.tier) as span:
            try:
                yield loop
            except Waiting as error:  # that is no failure
                span.note(waits=True)
                waiting = error
        if waiting is not None:
            raise waiting
    except Exception as error:
        raise _explain(error, agent, loop) from error
    finally:
        _outer.reset(token)
        if outer is not None:
            outer.include(loop.counter.usage, loop.flags)


_outer: ContextVar[Loop | None] = ContextVar("signoff_outer_step", default=None)
"""The step within whose function another one is done."""


@contextmanager
def _counting(loop: Loop) -> Iterator[None]:
    """What steps inside use, and what was flagged in them, is this one's too."""
    token = _outer.set(loop)
    try:
        yield
    finally:
        _outer.reset(token)


def place_of_work() -> tuple[str, str]:
    """The run's thread, and the name of the item, whose step this is; each empty where there is none."""
    payer = current_payer()
    return current_thread(), payer.item if payer is not None else ""


def include_usage(usage: Usage) -> None:
    """Count what a function had used by a program that it ran as used by its step."""
    outer = _outer.get()
    if outer is not None:
        outer.include(usage, ())


async def _by_model(agent: Agent[Any], task: Task, loop: Loop) -> Any:
    """The form that the model filled in; or the artifact that is given in place of a step that could not be done."""
    try:
        return await loop.arun()
    except WorkFailed as failure:
        if agent.rescue is None:
            raise
        return await in_thread(agent.rescue, failure, task)


def _run_function(agent: Agent[Any], task: Task, loop: Loop) -> Artifact:
    if agent.function is None:
        raise TeamError(f"Agent {agent.role!r} has no body. Give it a function or a model.")
    with _counting(loop):
        given = agent.function(task)
        return concurrency.run(_wait(given), alone=True) if inspect.isawaitable(given) else cast(Artifact, given)


async def _wait(given: Awaitable[Artifact]) -> Artifact:
    return await given


def _finish(agent: Agent[Any], task: Task, given: Any, loop: Loop) -> Work:
    """Read, check and type what the body gave, and collect the proposals."""
    artifact = given
    if agent.model is not None and agent.read is not None and not isinstance(given, agent.gives):
        artifact = agent.read(given, task)
    if not isinstance(artifact, agent.gives):
        raise WorkFailed(agent.role, f"gave a {type(artifact).__name__}, not the {agent.gives.__name__} it promised")
    if agent.check is not None:
        artifact = agent.check(artifact, task)
    _check_artifact(agent, artifact)
    if isinstance(artifact, Verdict) and not artifact.accepted:
        if agent.at_gate:
            task.say(f"rejects {artifact.about}, so it proposes nothing")
        proposals: tuple[Proposal, ...] = ()
    else:
        proposals = (*loop.proposals, *(agent.propose(artifact, task) if agent.propose is not None else ()))
    for proposal in proposals:
        _check_proposal(agent, proposal)
    return Work(artifact=artifact, proposals=proposals, usage=loop.counter.usage, flags=loop.flags)


def _check_artifact(agent: Agent[Any], artifact: Artifact) -> None:
    """WorkFailed if the artifact cannot be kept and read again, or judges what it was not shown."""
    try:
        kept = artifact.model_dump(mode="json")
        check_storable([kept, artifact.brief()])
        same = agent.gives.model_validate(kept).model_dump(mode="json") == kept
    except (ValueError, TypeError, RecursionError) as error:
        raise WorkFailed(agent.role, f"gave a {agent.gives.__name__} that cannot be kept: {error}") from error
    if not same or not isinstance(artifact.brief(), str):
        raise WorkFailed(agent.role, f"gave a {agent.gives.__name__} that does not read back as it was")
    if isinstance(artifact, Verdict) and artifact.about not in {need.__name__ for need in agent.needs}:
        raise WorkFailed(agent.role, f"judged {artifact.about!r}, which is not among the artifacts it needs")


def _check_proposal(agent: Agent[Any], proposal: Proposal) -> None:
    """WorkFailed if the proposal could not be shown, kept and called just as it is."""
    action = next((action for action in agent.at_gate if action.name == proposal.action), None)
    if action is None:
        raise TeamError(f"Agent {agent.role!r} proposes {proposal.action!r}, which is not among its actions.")
    try:
        check_storable([proposal.args, proposal.reason])
        arguments = action.arguments.model_validate(proposal.args)
        same = arguments.model_dump(mode="json") == proposal.args
        shown = action.preview(arguments) if action.preview is not None else ""
    except (ValueError, TypeError, RecursionError) as error:
        raise WorkFailed(agent.role, f"proposed {proposal.action} with arguments that do not fit: {error}") from error
    if not same or not isinstance(shown, str):
        raise WorkFailed(agent.role, f"proposed {proposal.action} with arguments that do not read back as they were")


def _problem(error: Exception) -> str:
    """What went wrong, without advice for somebody at a terminal: the run goes on by itself, or asks."""
    if isinstance(error, ModelUnreachable):
        return f"model {error.model!r} gave no answer: {error.problem}"
    if isinstance(error, SignoffError):
        return str(error)
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if not frame.filename.startswith(_NOT_THEIRS)] or every
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _cannot_wait(agent: Agent[Any], waiting: Waiting) -> WorkFailed:
    """Only an agent's own step goes on where it was: a step within it would begin anew, and propose again."""
    return WorkFailed(
        agent.role,
        f"a step within its step {waiting}, which only the step of a team's agent can. Hand it a Task of its own, "
        "without can_wait",
    )


def _explain(error: Exception, agent: Agent[Any], loop: Loop) -> Exception:
    """What to raise instead."""
    if isinstance(error, StepFailed):  # of a step within this one
        error = error.failure
    if isinstance(error, StepHeld):
        error = error.error if isinstance(error.error, BudgetExhausted) else _cannot_wait(agent, error.error)
    if isinstance(error, Waiting):
        try:
            for proposal in error.proposals.values():
                _check_proposal(agent, proposal)
        except (TeamError, WorkFailed) as problem:
            error = problem
    if isinstance(error, BudgetExhausted | Waiting):
        return StepHeld(error, loop.conversation.said, loop.counter.usage, loop.flags, loop.conversation.heard)
    if isinstance(error, NOT_THE_STEPS) or (
        isinstance(error, GraphBubbleUp | TeamError) and not isinstance(error, WorkFailed)
    ):
        return error
    if not isinstance(error, WorkFailed):
        error = WorkFailed(agent.role, readable_text(_problem(error)))
    return StepFailed(error, loop.counter.usage, loop.flags)
