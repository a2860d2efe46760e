"""Answers at the gate: every shape that known clients send is understood; what is not surely a decision is refused.

Shapes (LangChain's human-in-the-loop middleware, agent-chat-ui, deep-agents-ui, agent-inbox, LangGraph Studio):
`{"decisions": [d]}`, `[{"type": "accept" | "edit" | "response" | "ignore", "args": …}]`, a bare decision, the words
`approve` and `reject`, each also as JSON text or keyed by interrupt id or approval id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from signoff.checkpoints import check_storable, read_once, readable_text
from signoff.checkpoints.ledger import Approval
from signoff.graphs.errors import BadAnswer
from signoff.tools import Action, Words
from signoff.wording import place_of

_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")
_MEANS: dict[str, Literal["approve", "edit", "reject", "respond"]] = {
    "approve": "approve",
    "accept": "approve",
    "edit": "edit",
    "reject": "reject",
    "ignore": "reject",
    "respond": "respond",
    "response": "reject",  # agent-inbox has no other way to reject with a reason
}

_SUCH = 'Send {"type": …}, with a type that the question allows.'

Named = Literal["", "arguments", "question"]
"""How exactly an answer says what it is about."""


@dataclass(frozen=True)
class Decision:
    """What an answer decides."""

    kind: Literal["approve", "reject", "respond"]
    args: dict[str, Any]
    """The approved arguments, as shown or as edited; empty otherwise."""
    reason: str = ""
    """Why it is rejected, what is said instead of a decision, or the answer to a question, as `say_reply` has it."""
    names: Named = ""
    """What the answer itself says it is about: this very question, by its id; these arguments; or nothing."""


def read_answer(answer: Any, approval: Approval, action: Action[Any], interrupt_id: str = "") -> Decision:
    """The decision in an answer to the question with this interrupt id; BadAnswer says why there is none."""
    try:
        check_storable(answer)
        decision = _read(answer, approval, action, interrupt_id)
        check_storable([decision.args, decision.reason])
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadAnswer(f"The answer cannot be kept: {readable_text(str(error))[:200]}.") from error
    return decision


def read_edit(args: Mapping[str, Any], approval: Approval, action: Action[Any]) -> dict[str, Any]:
    """Edited arguments as the action's schema has them; BadAnswer if they do not fit."""
    answer = {"type": "edit", "args": {"name": approval.action, "args": dict(args)}}
    return read_answer(answer, approval, action).args


def read_reply(given: str | Mapping[str, Any] | BaseModel, action: Action[Any]) -> dict[str, Any]:
    """The answer to a question, by the fields of its form; BadAnswer says what does not fit.

    Text is the whole answer, JSON, lines like `door: front`, or the one field of the form.
    """
    form = action.form
    if form is None:
        raise BadAnswer(f"{action.name} is no question.")
    fields = form.model_fields
    if isinstance(given, BaseModel):
        given = given.model_dump(mode="json")
    if isinstance(given, str):
        given = _said(given, form)
    if set(given) == {"answer"} and "answer" not in fields:
        inner = given["answer"]
        return read_reply(inner if isinstance(inner, str | Mapping) else str(inner), action)
    if strangers := [name for name in given if name not in fields]:
        raise BadAnswer(f"{shown_value(strangers[0])} is no field of the answer, which has {', '.join(fields)}.")
    problem = ""
    for candidate in ({**given}, {name: _from_text(value, None) for name, value in given.items()}):
        try:
            check_storable(candidate)
            fitting = form.model_validate(candidate).model_dump(mode="json")
            check_storable(fitting)
            if form.model_validate(fitting).model_dump(mode="json") == fitting:
                return fitting
            problem = "it changes each time it is read"
        except Exception as error:  # a validator is somebody else's code
            problem = problem or misfit(error)
    raise BadAnswer(f"The answer does not fit: {problem}.")


def say_reply(values: Mapping[str, Any], action: Action[Any]) -> str:
    """The answer as the ledger keeps it: a person's words as they are, a form as JSON."""
    return str(values["answer"]) if action.form is Words else json.dumps(dict(values), ensure_ascii=False)


def _said(text: str, form: type[BaseModel]) -> dict[str, Any]:
    """What a text answers."""
    text, fields = text.strip(), form.model_fields
    if not text:
        raise BadAnswer("The answer says nothing.")
    if form is Words:
        return {"answer": text}
    try:
        parsed = read_once(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    named = [name.strip() for name, colon, _ in pairs if colon]
    if len(named) == len(pairs) == len(set(named)) and fields.keys() >= set(named):
        return {name.strip(): value.strip() for name, _, value in pairs}
    if len(fields) == 1:
        return {next(iter(fields)): text}
    wanted = "; ".join(f"{name}: …" for name in fields)
    raise BadAnswer(f"The answer {shown_value(text)} does not say what each field is. Write {wanted}, each in a line.")


def _read(answer: Any, approval: Approval, action: Action[Any], interrupt_id: str) -> Decision:
    if action.form is not None:
        return _read_reply(answer, approval, action, interrupt_id)
    found, names = _unwrap(answer, approval, interrupt_id, action)
    kind = _MEANS.get(str(found.get("type", "")).strip().lower())
    if kind is None:
        raise BadAnswer(
            f"The answer has the type {shown_value(found.get('type'))}: not approve, edit, reject or respond."
        )
    if kind == "respond" and not _message(found):
        raise BadAnswer("The response says nothing.")
    if kind in ("reject", "respond"):
        return Decision(kind, {}, _message(found), names)
    args = _named_args(found, approval)
    if args is not None:
        names = names or "arguments"
    if kind == "edit":
        if args is None:
            raise BadAnswer("The edit carries no arguments.")
        # What nobody may change can be left out.
        args = {**{name: approval.shown[name] for name in action.fixed if name in approval.shown}, **args}
        edited = _fit(args, approval.shown, action.arguments)
        for name in action.fixed:
            if edited.get(name) != approval.shown.get(name):
                raise BadAnswer(f"{name!r} cannot be edited.")
        edited |= {name: approval.shown[name] for name in action.fixed if name in approval.shown}  # true is not 1
        return Decision("approve", edited, names=names)
    if args is not None and _fit(args, approval.shown, action.arguments) != approval.shown:
        raise BadAnswer("The approval carries other arguments than were shown; send an edit instead.")
    return Decision("approve", approval.shown, names=names)


_NO_APPROVAL = "It is a question, and an approval is no answer: answer it, or reject it to decline."


def _read_reply(answer: Any, approval: Approval, action: Action[Any], interrupt_id: str) -> Decision:
    """An answer to a question, in whatever clients can send, or that it is declined."""
    found, names = _unwrap(answer, approval, interrupt_id, action)
    said = str(found.get("type", "")).strip().lower()
    kind = "respond" if said == "response" else _MEANS.get(said)
    if kind is None:
        field = action.form is not None and "type" in action.form.model_fields
        hint = ' Send the fields of the answer as {"type": "respond", "message": {…}}.' if field else ""
        raise BadAnswer(f"The answer has the type {shown_value(found.get('type'))}: not respond, edit or reject.{hint}")
    if kind == "approve":
        raise BadAnswer(_NO_APPROVAL)
    if kind == "reject":
        return Decision("reject", {}, _message(found), names)
    reply = found.get("message", found.get("answer", found.get("args")))
    if kind == "edit":
        carried = _named_args(found, approval) or {}
        reply = {name: value for name, value in carried.items() if name not in approval.shown}
        if carried.get("question", approval.shown["question"]) != approval.shown["question"]:
            raise BadAnswer("'question' cannot be edited.")
        names = names or ("arguments" if "question" in carried else "")
    if not isinstance(reply, str | Mapping) or not reply:
        raise BadAnswer("The answer says nothing.")
    return Decision("respond", {}, say_reply(read_reply(reply, action), action), names)


def _bare_reply(answer: Any, action: Action[Any]) -> dict[str, Any] | None:
    """What a program answers a question with that sends no more than that; None for what is wrapped as clients do."""
    if action.form is None:
        return None
    if isinstance(answer, str) and answer.strip().lower() not in ("approve", "accept", "reject", "ignore"):
        try:
            is_wrapped = isinstance(read_once(answer), dict | list)
        except ValueError:
            is_wrapped = False
        return None if is_wrapped else {"type": "respond", "message": answer}
    if not isinstance(answer, dict):
        return None
    values = {name: value for name, value in answer.items() if name not in ("approval_id", "args_sha256")}
    # With one field of the form it is such an answer, and is told which of the others is none.
    is_plain = not {"answer", *action.form.model_fields}.isdisjoint(values) and not {"type", "decisions"} & {*values}
    return {"type": "respond", "message": values} if is_plain else None


def _unwrap(answer: Any, approval: Approval, interrupt_id: str, action: Action[Any]) -> tuple[dict[str, Any], Named]:
    """The one decision inside all wrappings, and what it names; an id or digest of another question is refused."""
    names: Named = ""
    for _ in range(6):  # deeper than any client wraps
        if isinstance(answer, dict):
            names = max(names, _check_identity(answer, approval))
        if (bare := _bare_reply(answer, action)) is not None:
            return bare, names
        if isinstance(answer, str):
            answer = parse_answer(answer)
        elif isinstance(answer, list):
            if len(answer) != 1:
                raise BadAnswer(f"The answer holds {len(answer)} decisions, where one was asked for.")
            answer = answer[0]
        elif isinstance(answer, dict):
            if "decisions" in answer:
                answer = answer["decisions"]
                if not isinstance(answer, list):
                    raise BadAnswer("'decisions' is not a list.")
            elif "type" in answer:
                return answer, names
            else:
                answer, names = _keyed(answer, approval, interrupt_id), "question"
        else:
            raise BadAnswer(f"The answer is {shown_value(answer)}, which is no decision. {_SUCH}")
    raise BadAnswer("The answer is nested too deeply.")


def parse_answer(text: str) -> Any:
    """What a client sent as text: a word that decides, or JSON; BadAnswer if it is neither."""
    word = text.strip().lower()
    if word in ("approve", "reject"):
        return {"type": word}
    try:
        parsed = read_once(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict | list):
        raise BadAnswer(f"The answer is the text {shown_value(text)}, which is no decision. {_SUCH}")
    return parsed


def _keyed(answer: dict[Any, Any], approval: Approval, interrupt_id: str) -> Any:
    if len(answer) != 1:
        raise BadAnswer(f"The answer has no 'type' and no 'decisions'. {_SUCH}")
    ((key, inner),) = answer.items()
    if key in (approval.id, interrupt_id or approval.id):
        return inner
    if isinstance(key, str) and (key.startswith("a-") or _INTERRUPT_ID.fullmatch(key)):
        raise BadAnswer(f"The answer is for the question {key}, but {approval.id} is asked about.")
    raise BadAnswer(f"The answer has no 'type' and no 'decisions'. {_SUCH}")


def _check_identity(answer: dict[Any, Any], approval: Approval) -> Named:
    """What the answer names; BadAnswer if that is another question."""
    for field, expected in (("approval_id", approval.id), ("args_sha256", approval.shown_sha256)):
        if field in answer and answer[field] != expected:
            raise BadAnswer(f"The answer is for another question ({field} {shown_value(answer[field])}).")
    return "question" if "approval_id" in answer else "arguments" if "args_sha256" in answer else ""


def _named_args(found: dict[str, Any], approval: Approval) -> dict[str, Any] | None:
    carried = found.get("edited_action", found.get("args"))
    if carried is None:
        return None
    if not isinstance(carried, dict):
        raise BadAnswer(f"The answer's arguments are {shown_value(carried)}, not an object.")
    name = carried.get("name", carried.get("action"))
    args = carried.get("args", carried.get("arguments"))
    if not isinstance(args, dict):
        whole = f'{{"name": "{approval.action}", "args": {{…}}}}'
        raise BadAnswer(f"What the answer carries has no 'args' object. Write it as {whole}.")
    if name != approval.action:
        raise BadAnswer(f"The answer names the action {shown_value(name)}, but {approval.action!r} is asked about.")
    return args


def _fit(args: dict[str, Any], shown: Mapping[str, Any], arguments: type[BaseModel]) -> dict[str, Any]:
    """The arguments as the action's schema has them; some clients send every value as text."""
    if strangers := [name for name in args if name not in shown]:
        raise BadAnswer(f"{shown_value(strangers[0])} is no argument of the action, which has {', '.join(shown)}.")
    candidates = [args, {name: _from_text(value, shown.get(name)) for name, value in args.items()}]
    problem = ""
    for candidate in candidates:
        try:
            fitting = arguments.model_validate(candidate).model_dump(mode="json")
            again = arguments.model_validate(fitting).model_dump(mode="json")
        except Exception as error:  # a validator is somebody else's code
            problem = misfit(error)
            continue
        if again != fitting:
            # The action gets what is read from what was approved: that must be the same.
            raise BadAnswer(f"The arguments change each time {arguments.__name__} reads them.")
        return fitting
    raise BadAnswer(f"The arguments do not fit {arguments.__name__}: {problem}.")


_PLAIN = {
    "tuple_type": 'Input should be a list, such as ["one", "two"]',
    "model_type": 'Input should be an object, such as {"name": "value"}',
}
"""What pydantic says in Python's words, for people who answer in others."""


def misfit(error: Exception) -> str:
    """Why arguments do not fit their schema, in a few words."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors()[0]
    where = place_of(first["loc"])
    said = str(first["msg"]).removeprefix("Value error, ")
    said = _PLAIN.get(first["type"], said)
    return f"{where}: {said}" if where else said


def _from_text(value: Any, shown: Any) -> Any:
    """A value that was shown as something else than text, read back from the text a client made of it."""
    if not isinstance(value, str) or isinstance(shown, str):
        return value
    try:
        return read_once(value)
    except ValueError:
        return value


def _message(found: dict[str, Any]) -> str:
    message = found.get("message", found.get("args"))
    return message.strip()[:2000] if isinstance(message, str) else ""


def shown_value(value: Any) -> str:
    """A value of somebody else's, in a few words."""
    text = readable_text(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}…"
