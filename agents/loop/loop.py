"""The model body: a model in a tool loop that ends in a filled-in form. One loop, whatever kind of model it is.

All that may come of an answer is read in one place, and so the file is longer than most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from signoff.agents.agent import Agent, Outcome, Task, Waiting
from signoff.agents.artifacts import Artifact
from signoff.agents.errors import ContextTooLong, ModelDeclined, ModelRefused, StepStuck, WorkFailed
from signoff.agents.loop.json_mode import in_words, lacks_tools, note_no_tools
from signoff.agents.loop.parsing import Answer, Reader, as_sent, fill_in
from signoff.agents.loop.tool_calls import Terms, do_call, list_outcomes, propose, tell_outcome
from signoff.agents.loop.toolset import Toolset, toolset_of
from signoff.agents.loop.transcript import Call, Conversation, Result, as_text, cut_to, key_of, open_step
from signoff.agents.models.failures import classify
from signoff.agents.models.guarded import GuardedModel
from signoff.agents.run_context import current_payer, paying, say_nothing
from signoff.agents.safety.injection import flags_of, mark, strings_in
from signoff.agents.usage import Usage, UsageCounter
from signoff.concurrency import in_thread
from signoff.tools import Proposal, ToolLimits

FOUND = "Found beforehand"
"""What heads the text that a model is shown first beside the artifacts."""
_MOST_SHORTENED = 3
"""Times a step's conversation is made shorter before the step fails."""
_LONGEST_TOKEN = 16
"""Characters that a token has at most, on average: an answer with more than that for each is not one it may give."""


class _StepModel:
    """The model of one step: which one answers, how it is asked, and what is done when a call brings no answer."""

    def __init__(self, agent: Agent[Any], task: Task, conversation: Conversation, counter: UsageCounter) -> None:
        self.agent, self.task, self.conversation, self.counter = agent, task, conversation, counter
        self.opening = ""
        self.flags: tuple[str, ...] = ()
        """Orders found in what the model was shown first."""
        self._gave_up_tools = False

    @cached_property
    def toolset(self) -> Toolset:
        return toolset_of(self.agent)

    @property
    def current(self) -> GuardedModel:
        return self.toolset.tiers.model(self.agent.tier, self._stronger)

    @property
    def is_native(self) -> bool:
        """Whether the model is offered tool calls."""
        model = self.current
        if model.json_actions is not None:
            return not model.json_actions
        return not (self._gave_up_tools or lacks_tools(model))

    def reader(self, *, native: bool) -> Reader:
        longest = self.agent.limits.output_tokens * _LONGEST_TOKEN
        return Reader(self.toolset.form, len(self.toolset.specs) == 1, native, longest)

    async def ask(self) -> Answer:
        """The model's next answer; what can be done about a call that brings none is done."""
        while True:
            # Another step may find out meanwhile that the model has no tools: what was asked so is read so.
            model, native = self.current, self.is_native
            try:
                message = await self._call(model, native=native)
            except ModelDeclined as error:
                if not self.grow("declined"):
                    raise WorkFailed(self.agent.role, str(error), final=True) from error
            except ContextTooLong as error:
                self._shorten(error)
            except ModelRefused as error:
                if not native or model.json_actions is not None or not _is_about_tools(error):
                    raise
                self.give_up_tools(model)
            except Exception as error:  # clients that parse what they get raise it when it was cut
                if classify(error).kind != "cut":
                    raise
                self.counter.add(None)
                return Answer(AIMessage(""), is_cut=True)
            else:
                self.counter.add(message)
                return self.reader(native=native).read(message, self.conversation.answers + 1)

    async def _call(self, model: GuardedModel, *, native: bool) -> AIMessage:
        """Ask the model; its last answer in a step can only be the form."""
        toolset, limits = self.toolset, self.agent.limits
        form_only = self.conversation.answers == limits.model_calls - 1
        opening = HumanMessage(self._opening)
        self.task.say(f"asks {model.model_name}")
        with _settling_later():
            if native:
                return await model.ainvoke(
                    [SystemMessage(toolset.system), opening, *map(as_sent, self.conversation.said)],
                    tools=toolset.specs,
                    tool_choice=toolset.gives if form_only else "any",
                    max_tokens=model.most_tokens(limits.output_tokens),
                )
            # A small model that goes in circles cannot be reasoned with: its next answer is the form.
            form_only = form_only or "circles" in self.conversation.last_notes
            return await model.ainvoke(
                [SystemMessage(toolset.system_for_json), opening, *map(in_words, self.conversation.said)],
                response_format=toolset.form_only if form_only else toolset.any_action,
                max_tokens=model.most_tokens(limits.output_tokens),
            )

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The artifacts and outcomes that the model is shown, by heading; orders found in them are kept in `flags`."""
        task, shows = self.task, self.agent.shows
        shown = {name: one for name, one in task.artifacts.items() if shows is None or type(one) in shows}
        if task.previous is not None and (shows is None or type(task.previous) in shows):
            shown[f"Your last {type(task.previous).__name__}"] = task.previous
        texts = {name: artifact.told() for name, artifact in shown.items()}
        # What it hears of in the step itself is not told twice; the opening stays the same when the step goes on.
        if earlier := [outcome for outcome in task.outcomes if outcome.proposal not in self.conversation.heard]:
            texts["What became of what was proposed"] = list_outcomes(earlier)
        if task.item is not None:
            texts["The one item that this step is about; others are worked on elsewhere"] = _told(task.item)
        texts |= {FOUND: cut_to(self.opening, self.current.longest_text)} if self.opening else {}
        said = texts | {name: strings_in(artifact.model_dump(mode="json")) for name, artifact in shown.items()}
        self.flags = tuple(flag for name, text in said.items() for flag in flags_of(text, name))
        return self.conversation.shortened(texts)

    @cached_property
    def _opening(self) -> str:
        """What the model is told first."""
        return open_step(self.task, {name: mark(text, name) for name, text in self._texts.items()})

    def _shorten(self, error: ContextTooLong) -> None:
        """Make the conversation shorter, or fail when that was done often enough."""
        if self.conversation.times_shortened >= _MOST_SHORTENED:
            problem = f"{error} It was made shorter {_MOST_SHORTENED} times."
            raise WorkFailed(self.agent.role, problem, final=True) from error
        self.task.say("the prompt is too long for the model; leaves out what is oldest")
        self._texts.update(self.conversation.shorten(self._texts))
        del self._opening

    def give_up_tools(self, model: GuardedModel) -> None:
        """Ask for JSON from here on; in every step, unless the model has called tools after all."""
        self._gave_up_tools = True
        if not any(isinstance(message, AIMessage) and message.tool_calls for message in self.conversation.said):
            note_no_tools(model)

    @property
    def _stronger(self) -> int:
        return self.task.stronger + self.conversation.grown

    def grow(self, why: str) -> bool:
        """Go on with a stronger model, once for each reason; False if there is none."""
        if self.conversation.has_grown(why) or not self.toolset.tiers.can_grow(self.agent.tier, self._stronger):
            return False
        self.conversation.grow(why)
        self.task.say(f"goes on with {self.current.model_name}, which is stronger")
        return True


class Loop:
    """One step of an agent: what is said in it, used by it, and proposed in it."""

    def __init__(self, agent: Agent[Any], task: Task) -> None:
        self.agent, self.task = agent, task
        self.conversation = Conversation(task.transcript)
        self.counter = UsageCounter(task.say)
        self._model = _StepModel(agent, task, self.conversation, self.counter)
        self._waiting: dict[str, Proposal] = {}
        """What was proposed in this turn and the model waits for, by the id of the call."""

    @property
    def opening(self) -> str:
        """Text from outside that the model is shown first, beside the artifacts."""
        return self._model.opening

    @opening.setter
    def opening(self, text: str) -> None:
        self._model.opening = text

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        return tuple(Proposal.model_validate(proposal) for proposal in self.conversation.proposed)

    @property
    def flags(self) -> tuple[str, ...]:
        """Orders found in what the model was shown, where there should be none."""
        return tuple(dict.fromkeys((*self.task.untrusted, *self._model.flags, *self.conversation.flags)))

    def include(self, usage: Usage, flags: Sequence[str]) -> None:
        """What a step within this one used, and what was flagged in it."""
        self.counter.include(usage)
        self.conversation.flags.update(dict.fromkeys(flags))

    async def arun(self) -> BaseModel:
        """Run to the end: the form that the model filled in. Waiting if it must hear first what became of something."""
        calls, payer = self._model.reader(native=self._model.is_native).pending(self.conversation.said), current_payer()
        given = None
        try:
            while (given := await self._heed(calls) if calls else None) is None:
                if self._waiting:
                    raise Waiting(self._waiting)
                calls = await self._turn()
            return given
        finally:
            if payer is not None and (given is None or not payer.settles_later):
                await payer.ledger.budgets.asettled(payer.account.run_id)

    async def _turn(self) -> tuple[Call, ...]:
        """Ask the model once; the calls it makes, or none where it was told what is wrong with its answer."""
        if self.conversation.answers >= self.agent.limits.model_calls:
            self._fail(
                f"the model reached its limit of {self.agent.limits.model_calls} calls in one step and gave no "
                f"{self._gives}"
            )
        answer = await self._model.ask()
        if answer.is_cut:
            self._say_too_long(answer)
        elif answer.is_empty:
            self._say_empty()
        elif not answer.calls:
            self._say_no_call(answer)
        else:
            self.conversation.add(answer.message)
        return answer.calls

    @property
    def _gives(self) -> str:
        return self._model.toolset.gives

    # What comes of an answer

    async def _heed(self, calls: Sequence[Call]) -> BaseModel | None:
        """Do what the model asked for; the form if it gave it, and it fits."""
        toolset = self._model.toolset
        forms = [call for call in calls if call.name == toolset.gives]
        others = [call for call in calls if call.name != toolset.gives]
        if not forms and self.conversation.answers >= self.agent.limits.model_calls:
            return None
        given = self._given(forms) if forms else None
        if isinstance(given, BaseModel) and self.agent.accept is not None:
            await self._do(others)  # what is done beside it belongs to the work that is looked at
            return None if self._waiting or await self._is_refused(forms, given) else given
        if isinstance(given, BaseModel):
            # Nobody would read what is looked up beside the finished work; what is proposed with it counts.
            results = [(call, self._propose_at_the_end(call)) for call in others if call.name in toolset.actions]
            if all(result.fits for _, result in results):
                for call, result in results:
                    self.conversation.add_result(call, result)
                return given
            given = "what was proposed with it does not fit, see there"
        if isinstance(given, str):
            self._repair(forms, given)  # first, as what is proposed beside it may hold the step
        await self._do(others)
        return None

    def _propose_at_the_end(self, call: Call) -> Result:
        """What is proposed beside the finished work waits for nothing; what was settled in the step already is not."""
        result = propose(call, self._model.toolset.actions[call.name], say_nothing, can_wait=True)
        if result.waits is not None and (settled := self._settled(result.waits)) is not None:
            return settled
        return propose(call, self._model.toolset.actions[call.name], self.task.say, can_wait=False)

    def _given(self, forms: Sequence[Call]) -> BaseModel | str:
        """The form, or what is wrong with it."""
        first = forms[0]
        if first.problem:
            return first.problem
        if any(call.args != first.args for call in forms):
            return f"it was given {len(forms)} times, each time otherwise; give it once"
        return fill_in(self._model.toolset.form, first.args)

    async def _is_refused(self, forms: Sequence[Call], given: BaseModel) -> bool:
        """Whether the agent does not accept the form; its model is told why then, and goes on."""
        accept = self.agent.accept
        problem = await in_thread(accept, given, self.task) if accept is not None else ""
        told = f"{self._gives} is not accepted. Go on.\n{mark(problem, 'checks')}"
        for call in forms if problem else ():
            self.conversation.add_result(call, Result(told, flags_of(problem, "checks")))
        if problem and (reason := self.conversation.find_circle()):
            self._nudge(reason)
        return bool(problem)

    def _repair(self, forms: Sequence[Call], problem: str) -> None:
        """The form does not fit: that is said once, then once more to a stronger model."""
        if self.conversation.noted["misfit"] and not self._model.grow("misfit"):
            self._fail(f"the model gave no valid {self._gives}: {problem}")
        for call in forms:
            told = Result(f"{self._gives} does not fit: {problem}. Give it again with that put right.")
            self.conversation.add_result(call, told, "misfit")

    async def _do(self, calls: Sequence[Call]) -> None:
        """Do these calls at once and keep their results in order; then see whether the step goes in circles."""
        how = Terms(self._model.current.longest_text, self.conversation.steady, can_wait=self.task.can_wait)
        done = await asyncio.gather(
            *(do_call(calls, place, self._model.toolset, self.counter, how) for place in range(len(calls))),
            return_exceptions=True,
        )
        waiting: list[tuple[Call, Proposal]] = []
        ending: BaseException | None = None
        for call, result in zip(calls, done, strict=True):
            if isinstance(result, BaseException):
                ending = ending or result
            elif result.waits is None:
                self.conversation.add_result(call, result)
            elif (outcome := self._awaited(call, result.waits)) is not None:
                self.conversation.add_result(call, self._told(outcome))
            else:
                waiting.append((call, result.waits))
        if ending is not None:
            raise ending
        for call, proposal in waiting:
            self._wait(call, proposal)
        if not self._waiting and (reason := self.conversation.find_circle()):
            self._nudge(reason)

    # What becomes of what the model proposed

    def _awaited(self, call: Call, proposal: Proposal) -> Outcome | None:
        """What the step was held for, if this call is what waits for it: models give the same id to several turns."""
        waits = (call.id, proposal.action, proposal.args)
        found = (one for one in self.task.outcomes if (one.call, one.action, one.proposed) == waits)
        return next((one for one in found if one.proposal not in self.conversation.heard), None)

    def _wait(self, call: Call, proposal: Proposal) -> None:
        """Have the step held for it, unless the same was settled in it before: nobody is asked twice."""
        if (settled := self._settled(proposal)) is not None:
            self.conversation.add_result(call, settled)
        elif proposal not in self._waiting.values():
            self.task.say(f"proposes {call.name} {str(call.args)[:120]}, and waits for what becomes of it")
            self._waiting[call.id] = proposal

    def _settled(self, proposal: Proposal) -> Result | None:
        """What became of the same proposal, if it was made in the step before and there is nothing to add to that."""
        known = self.conversation.settled.get(key_of(proposal.action, proposal.args))
        outcome = next((outcome for outcome in self.task.outcomes if outcome.proposal == known), None)
        if outcome is None:
            return None
        told = self._told(outcome)
        return replace(told, content=f"Not proposed again: the same was, in this step. {told.content}")

    def _told(self, outcome: Outcome) -> Result:
        action = self._model.toolset.actions.get(outcome.action)
        limits = action.limits if action is not None else None
        is_question = action is not None and action.form is not None
        return tell_outcome(outcome, (limits or ToolLimits()).characters, is_question=is_question)

    # What is said to a model that does not get on

    def _nudge(self, reason: str) -> None:
        """The step goes in circles: that is said, then a stronger model goes on, then a person is asked."""
        if self.conversation.noted["circles"] and not self._model.grow("circles"):
            raise StepStuck(self.agent.role, reason)
        self.conversation.tell(
            f"You go in circles: {reason}. Do something else, or give {self._gives} from what you have.", "circles"
        )

    def _say_too_long(self, answer: Answer) -> None:
        most = self._model.current.most_tokens(self.agent.limits.output_tokens)
        if self.conversation.noted["cut"]:
            self._fail(
                f"the model's answer was cut twice at its limit of {most} tokens. Raise Limits.output_tokens, "
                "or ask for less"
            )
        self._answer_and_tell(
            answer, f"Your answer was cut at {most} tokens, its limit. {self._wanted} Be shorter.", "cut"
        )

    def _say_empty(self) -> None:
        if self.conversation.noted["empty"]:
            self._fail("the model answered twice with nothing at all")
        self._answer_and_tell(Answer(AIMessage("")), f"Your answer was empty. {self._wanted}", "empty")

    def _say_no_call(self, answer: Answer) -> None:
        """An answer in words: that is said once; a model that then still calls nothing is asked for JSON."""
        native, model = self._model.is_native, self._model.current
        note = "words" if native else "words for JSON"
        if self.conversation.noted[note]:
            if native and model.json_actions is None:
                self._model.give_up_tools(model)
            elif not self._model.grow(note):
                self._fail(f"the model answered in words, twice, and gave no {self._gives}")
        self._answer_and_tell(answer, f"That was no {'call of a tool' if native else 'action'}. {self._wanted}", note)

    @property
    def _wanted(self) -> str:
        if self._model.is_native:
            return f"Call {self._gives} to give your work, or another tool."
        return "Answer with one JSON object and nothing else, as you were told."

    def _answer_and_tell(self, answer: Answer, text: str, note: str) -> None:
        said = answer.message if as_text(answer.message.content) else AIMessage("(nothing)")
        self.conversation.add(said)
        self.conversation.tell(text, note)

    def _fail(self, problem: str) -> NoReturn:
        raise WorkFailed(self.agent.role, problem)


def _told(item: Any) -> str:
    """What a model is shown of an item: of an artifact what that tells of itself."""
    if isinstance(item, Artifact):
        return item.told()
    return item.model_dump_json() if isinstance(item, BaseModel) else str(item)


def _settling_later() -> AbstractContextManager[None]:
    """A call made inside is booked with what the step books next; whoever has it done waits for that at its end."""
    payer = current_payer()
    return nullcontext() if payer is None or payer.settles_later else paying(replace(payer, settles_later=True))


def _is_about_tools(error: ModelRefused) -> bool:
    """Whether an endpoint refused a request because it offers tools."""
    said = error.problem.lower()
    return any(word in said for word in ("tool", "function call"))
