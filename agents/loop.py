"""The model body: a model in a tool loop that ends in a structured artifact."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ValidationError

from signoff.agents.agent import Agent, Task
from signoff.agents.models import model_name
from signoff.agents.usage import NO_USAGE, Usage, add_usage, call_usage
from signoff.errors import WorkFailed
from signoff.tools.action import Action, Proposal

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


class Loop(BaseCallbackHandler):
    """One step of an agent with a model: counts what is used, tells what is done, collects what is proposed."""

    raise_error = True

    def __init__(self, agent: Agent[Any], task: Task) -> None:
        self.agent, self.task = agent, task
        self.usage: Usage = NO_USAGE
        self.proposals: list[Proposal] = []
        self._counting = threading.Lock()

    @property
    def model_name(self) -> str:
        """The model's own name, for prices and errors."""
        return model_name(self.agent.model)

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **_: Any) -> None:  # noqa: ARG002  # the base class's names
        """Tell that the model is asked."""
        self.task.say(f"asks {self.model_name}")

    def on_tool_start(self, serialized: dict[str, Any] | None, input_str: str, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002  # the base class's names
        """Tell which tool is used."""
        self.task.say(f"uses {(serialized or {}).get('name', 'a tool')} {input_str[:120]}")

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Add up the tokens."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        used = call_usage(self.model_name, generation.message if isinstance(generation, ChatGeneration) else None)
        with self._counting:
            self.usage = add_usage(self.usage, used)

    def offer(self, action: Action[Any]) -> BaseTool:
        """The action as a tool that only proposes it."""

        def propose(**arguments: Any) -> str:
            try:
                proposal = action.propose(action.arguments.model_validate(arguments))
            except ValidationError as error:
                return f"Not proposed, the arguments do not fit: {error}"
            self.proposals.append(proposal)
            return "Proposed. It has not happened; it will only happen if policy or a person allows it. Go on."

        return StructuredTool.from_function(
            propose, name=action.name, description=action.description, args_schema=action.arguments
        )


def run_model(loop: Loop) -> BaseModel:
    """Run the loop to its end: the form or artifact the model filled in."""
    return _given(loop, _build(loop).invoke(_prompt(loop), _config(loop)))


async def arun_model(loop: Loop) -> BaseModel:
    """Run the loop to its end without blocking the event loop."""
    return _given(loop, await _build(loop).ainvoke(_prompt(loop), _config(loop)))


def _build(loop: Loop) -> CompiledStateGraph[Any, Any, Any, Any]:
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelCallLimitMiddleware
    from langgraph.checkpoint.memory import InMemorySaver

    agent = loop.agent
    if agent.model is None:
        raise WorkFailed(agent.role, "has no model")
    return create_agent(
        agent.model,
        tools=[*agent.tools, *(loop.offer(action) for action in agent.actions if agent.propose is None)],
        system_prompt=f"You are the {agent.role} of a team. {agent.instructions}".strip(),
        response_format=agent.form or agent.gives,
        middleware=[ModelCallLimitMiddleware(run_limit=agent.limits.model_calls, exit_behavior="error")],
        # A step is one unit of work: it is done or it is done again, so nothing of it is kept. `checkpointer=False`
        # would say so, but LangGraph 1.2 then fails inside a graph that runs with durability="sync".
        checkpointer=InMemorySaver(),
    )


def _config(loop: Loop) -> RunnableConfig:
    return {
        "callbacks": [loop],
        "recursion_limit": 4 * loop.agent.limits.model_calls + 10,
        "configurable": {"thread_id": uuid4().hex},
    }


def _prompt(loop: Loop) -> dict[str, Any]:
    """The goal, the needed artifacts and the notes: nothing else of the run."""
    task = loop.task
    parts = [f"# Goal\n{task.goal}"]
    parts += [
        f"# {name}\n{artifact.model_dump_json(exclude_defaults=True)}" for name, artifact in task.artifacts.items()
    ]
    if task.previous is not None:
        parts.append(
            f"# Your last {type(task.previous).__name__}\n{task.previous.model_dump_json(exclude_defaults=True)}"
        )
    if task.notes:
        parts.append("# What must change\n" + "\n".join(f"- {note}" for note in task.notes))
    if task.instructions:
        parts.append(f"# Instructions for this step\n{task.instructions}")
    return {"messages": [HumanMessage("\n\n".join(parts))]}


def _given(loop: Loop, result: dict[str, Any]) -> BaseModel:
    given = result.get("structured_response")
    if not isinstance(given, BaseModel):
        wanted = (loop.agent.form or loop.agent.gives).__name__
        raise WorkFailed(loop.agent.role, f"the model ended without giving a {wanted}")
    return given
