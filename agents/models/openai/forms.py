"""Structured output by schema: what is asked of the endpoint, and what the model filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from pydantic import BaseModel


@dataclass(frozen=True)
class Form:
    """A format for the model's answer."""

    asked: dict[str, Any]
    """As it stands in the request."""
    type: type[BaseModel] | None = None
    """What the answer is read into; None leaves it as text."""


def form_of(wanted: type[BaseModel] | dict[str, Any]) -> Form:
    """The form for a `response_format`."""
    return Form(wanted) if isinstance(wanted, dict) else _typed_form(wanted)


@lru_cache(maxsize=128)
def _typed_form(wanted: type[BaseModel]) -> Form:
    function = openai.pydantic_function_tool(wanted)["function"]
    schema = {"schema": function["parameters"], "name": function["name"], "strict": True}
    return Form({"type": "json_schema", "json_schema": schema}, wanted)


def filled_in(form: Form, completion: Mapping[str, Any]) -> BaseModel | None:
    """What the model filled in; None where it refused, called a tool, or the form has no type.

    openai.LengthFinishReasonError if it was cut, openai.ContentFilterFinishReasonError if it was withheld,
    pydantic.ValidationError if it does not fit.
    """
    choice = completion["choices"][0]
    finish, message = choice.get("finish_reason"), choice["message"]
    if finish == "length":
        raise openai.LengthFinishReasonError(completion=ChatCompletion.construct(**completion))
    if finish == "content_filter":
        raise openai.ContentFilterFinishReasonError(completion=ChatCompletion.construct(**completion))
    if form.type is None or not message.get("content") or message.get("refusal"):
        return None
    return form.type.model_validate_json(message["content"])


class Dictation:
    """A streamed answer, written down as it comes."""

    def __init__(self) -> None:
        self._about: Mapping[str, Any] = {}
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._finish: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> None:
        """The next chunk."""
        self._about = self._about or chunk
        for choice in chunk["choices"][:1]:
            delta = choice["delta"] or {}
            self._content.append(delta.get("content") or "")
            self._refusal.append(delta.get("refusal") or "")
            self._finish = choice.get("finish_reason") or self._finish

    @property
    def completion(self) -> dict[str, Any]:
        """The answer in one piece, without its tool calls and usage."""
        message = {
            "role": "assistant",
            "content": "".join(self._content) or None,
            "refusal": "".join(self._refusal) or None,
        }
        choice = {"index": 0, "finish_reason": self._finish, "message": message}
        about = {name: self._about.get(name) for name in ("id", "created", "model")}
        return {**about, "object": "chat.completion", "choices": [choice]}
