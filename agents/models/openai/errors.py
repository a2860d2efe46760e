"""What goes wrong on the way to a model endpoint, as the exceptions that `ChatOpenAI` raises for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx2
import openai
from langchain_openai.chat_models.base import (
    OpenAIAPIContextOverflowError,
    OpenAIAPIError,
    OpenAIAuthenticationError,
    OpenAIConnectionError,
    OpenAIContextOverflowError,
    OpenAIInvalidRequestError,
    OpenAIModelNotFoundError,
    OpenAIPermissionDeniedError,
    OpenAIRateLimitError,
    OpenAITimeoutError,
)
from yarl import URL

_BY_STATUS: dict[int, type[openai.APIStatusError]] = {
    400: OpenAIInvalidRequestError,
    401: OpenAIAuthenticationError,
    403: OpenAIPermissionDeniedError,
    404: OpenAIModelNotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: OpenAIRateLimitError,
}
_TOO_LONG_PROMPT = (
    "context_length_exceeded",
    "Input tokens exceed the configured limit",
    "prompt is too long",
    "ContextWindowExceededError",
    "exceeds the context window",
)


class MalformedAnswer(openai.APIResponseValidationError, ValueError, TypeError):
    """Status 200 and no answer in it: no JSON, a page, nothing to choose from, or too much of it.

    `ChatOpenAI` raises a ValueError or a TypeError for most of these, so it is both.
    """


def malformed(url: URL, status: int, headers: Mapping[str, str], body: object, problem: str) -> MalformedAnswer:
    """What came is not what the protocol promises; the message shows the beginning of it."""
    start = repr(body)
    start = start if len(start) <= 200 else f"{start[:200]}..."
    message = f"The endpoint's answer cannot be used: {problem}"
    message = f"{message}. It begins {start}" if body else message
    return MalformedAnswer(_response(url, status, headers), body, message=message)


def rejected(url: URL, status: int, headers: Mapping[str, str], body: bytes) -> openai.APIError:
    """The endpoint answered with a status of 300 and above."""
    text = body.decode(errors="replace").strip()
    if status < 400:
        moved = f"it has moved to {headers.get('Location', 'another address')!r}, and nothing was sent there"
        return openai.APIStatusError(moved, response=_response(url, status, headers, body), body={"message": moved})
    content: Any = text
    with suppress(ValueError):  # a proxy's page, or a plain text
        content = json.loads(text)
    about = content.get("error", content) if isinstance(content, dict) else content
    said = about.get("message") if isinstance(about, dict) else None
    message = f"Error code: {status} - {said}" if isinstance(said, str) and said else f"Error code: {status}"
    response = _response(url, status, headers, body)
    if any(phrase in text for phrase in _TOO_LONG_PROMPT):
        if status == 400:
            return OpenAIContextOverflowError(message, response=response, body=about)
        return OpenAIAPIContextOverflowError(message, response.request, body=about)
    kind = _BY_STATUS.get(status, OpenAIAPIError if status >= 500 else openai.APIStatusError)
    return kind(message, response=response, body=about)


def interrupted(url: URL, error: object) -> openai.APIError:
    """An error that the endpoint sent in the middle of a stream."""
    said = error.get("message") if isinstance(error, dict) else None
    message = said if isinstance(said, str) and said else "An error occurred during streaming"
    kind = OpenAIAPIContextOverflowError if any(phrase in message for phrase in _TOO_LONG_PROMPT) else openai.APIError
    return kind(message, _request(url), body=error)


def dropped(url: URL, problem: str = "Connection error.") -> OpenAIConnectionError:
    """There was no connection, or it broke before the answer was complete."""
    return OpenAIConnectionError(message=problem, request=_request(url))


def timed_out(url: URL) -> OpenAITimeoutError:
    """The endpoint took too long."""
    return OpenAITimeoutError(_request(url))


def _request(url: URL) -> httpx2.Request:
    return httpx2.Request("POST", str(url))  # without its headers, which hold the key


def _response(url: URL, status: int, headers: Mapping[str, str], body: bytes = b"") -> httpx2.Response:
    kept = [(name, value) for name, value in headers.items() if name.lower() != "content-encoding"]
    return httpx2.Response(status, headers=kept, content=body, request=_request(url))
