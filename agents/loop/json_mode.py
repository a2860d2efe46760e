"""For models without tool calls: one JSON object each turn that names a tool and its arguments; and which need it."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from signoff.agents.models.settings import identity_of

Spec = Mapping[str, Any]
"""What can be called, in OpenAI's format of functions."""

_LONGEST = 2_000
"""Characters of a string: servers that make a grammar of the schema repeat nothing more often than that."""
_USUAL = 1_000
_MOST = 24
"""Entries of a list."""


def answer_format(specs: Sequence[Spec], *, form_only: bool = False) -> dict[str, Any]:
    """The response format that allows one action of these; the last is the form, alone it is asked for as it is."""
    *tools, form = (spec["function"] for spec in specs)
    if not tools:
        schema = bounded(form["parameters"])
    else:
        given = [_action(give(form["name"]), form["parameters"])]
        schema = {"anyOf": given if form_only else [*(_action(t["name"], t["parameters"]) for t in tools), *given]}
    return {"type": "json_schema", "json_schema": {"name": "action" if tools else form["name"], "schema": schema}}


def give(form: str) -> str:
    """Name of the action that gives the form."""
    return f"give_{form}"


def tell_actions(specs: Sequence[Spec]) -> str:
    """What a model that is not shown the schema must know."""
    *tools, form = (spec["function"] for spec in specs)
    if not tools:
        return f"Answer with one JSON object and nothing else: {_signature(form['parameters'])}"
    lines = [f"- {tool['name']}: {tool['description']} Arguments: {_signature(tool['parameters'])}" for tool in tools]
    lines.append(f"- {give(form['name'])}: {form['description']} Arguments: {_signature(form['parameters'])}")
    return (
        'Answer with one JSON object and nothing else, {"tool": NAME, "arguments": {…}}. You are told what came of it '
        f"and answer again; {give(form['name'])} ends your work. The tools:\n" + "\n".join(lines)
    )


def parse_action(text: str, form: str, *, alone: bool) -> tuple[str, dict[str, Any]] | None:
    """The tool's name and its arguments; None if the text is no such object. `alone`: it may be the form itself."""
    found = parse_object(text)
    if found is None:
        return None
    name, arguments = found.get("tool"), found.get("arguments", {})
    if isinstance(name, str) and isinstance(arguments, dict) and not alone:
        return (form if name == give(form) else name), arguments
    return (form, found) if alone or "tool" not in found else None


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is or holds, in a fence or after some words; None if there is none."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def in_words(message: BaseMessage) -> BaseMessage:
    """The message without tool calls: calls become JSON text, results become messages of the user."""
    if isinstance(message, ToolMessage):
        return HumanMessage(f"{message.name or 'Tool'}: {message.text}")
    if isinstance(message, AIMessage) and message.tool_calls:
        said = [json.dumps({"tool": use["name"], "arguments": use["args"]}) for use in message.tool_calls]
        return AIMessage("\n".join(filter(None, [str(message.text), *said])))
    return message


def bounded(schema: Any) -> Any:
    """The schema with an end to every string and list, and without limits of floats, which no grammar keeps."""
    if isinstance(schema, list):
        return [bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    cut = {
        name: {inner: bounded(part) for inner, part in value.items()}
        if name in ("properties", "$defs") and isinstance(value, dict)
        else value
        if name in ("enum", "const", "default", "required", "examples")
        else bounded(value)
        for name, value in schema.items()
        if not (kind == "number" and name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))
    }
    if kind == "string" and not {"enum", "const", "format", "pattern"} & cut.keys():
        cut["maxLength"] = min(schema.get("maxLength", _USUAL), _LONGEST)
    elif kind == "array":
        cut["maxItems"] = min(schema.get("maxItems", _MOST), _MOST)
    elif kind == "object" and "properties" in cut:
        cut["additionalProperties"] = False
    return cut


def _action(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"tool": {"const": name}, "arguments": bounded(dict(arguments))},
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def _signature(schema: Mapping[str, Any]) -> str:
    """The fields of an object, shorter than its schema."""
    fields = [f'"{name}": {_kind(part, schema)}' for name, part in schema.get("properties", {}).items()]
    return "{" + ", ".join(fields) + "}"


def _kind(part: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A field as a word or two, and what it is for."""
    target = root.get("$defs", {}).get(str(part.get("$ref", "")).rpartition("/")[2])
    if target is not None and "$defs" in root:
        return _kind(target, {**root, "$defs": {k: v for k, v in root["$defs"].items() if v is not target}})
    kind = str(part.get("type", "value"))
    if "enum" in part:
        kind = " | ".join(json.dumps(value) for value in part["enum"])
    elif kind == "array":
        kind = f"[{_kind(part.get('items', {}), root)}, …]"
    elif kind == "object" and part.get("properties"):
        return _signature({**part, "$defs": root.get("$defs", {})})
    elif "anyOf" in part:
        kind = " | ".join(_kind(choice, root) for choice in part["anyOf"])
    return f"{kind} ({part['description']})" if part.get("description") else kind


_served: set[str] = set()
_local: dict[int, weakref.ref[Any]] = {}


def lacks_tools(model: BaseChatModel) -> bool:
    """Whether this model does not call tools: its class cannot be given any, or it was found out."""
    if any(type(one).bind_tools is BaseChatModel.bind_tools for one in getattr(model, "chain", (model,))):
        return True
    kept = _local.get(id(model))
    return (kept is not None and kept() is model) or (bool(_served) and _name(model) in _served)


def note_no_tools(model: BaseChatModel) -> None:
    """This model does not call tools; nor does the same one behind the same endpoint."""
    if name := _name(model):
        _served.add(name)
    else:
        _local[id(model)] = weakref.ref(model)


def _name(model: BaseChatModel) -> str:
    """Endpoint and model; empty for a model within this process, which another may share its name with."""
    identity = identity_of(getattr(model, "chain", (model,))[0])
    return f"{identity.endpoint} {identity.model}" if identity.endpoint else ""
