"""What a failed call of a model means, by name, whatever client raised it; and how long its answer asks to wait."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from json import JSONDecodeError
from traceback import walk_tb
from typing import Any, Final, Literal

from signoff.tools.web import retry_after

Kind = Literal[
    "rate_limited",
    "overloaded",
    "timeout",
    "unsent",
    "dropped",
    "malformed",
    "refused",
    "context_overflow",
    "content_filter",
    "cut",
    "unknown",
]
"""rate_limited: 429; overloaded: 5xx and other statuses that pass; unsent: no connection, so that nothing left;
dropped: the connection was lost with the answer; malformed: an answer that cannot be read; refused: the key, the
permission, the model's name or the request; context_overflow: the prompt is too long; content_filter: the endpoint
would not answer this; cut: the answer was longer than it may be; unknown: not the endpoint's."""

RETRIED: Final = frozenset({"rate_limited", "overloaded", "timeout", "unsent", "dropped", "malformed"})
"""What trying again may help."""
_MAYBE_PAID: Final = frozenset({"timeout", "dropped", "malformed", "cut", "unknown"})
"""After which nobody knows what the endpoint charged."""

_GAVE_UP: Final = (408, 504, 524, 598)
"""Statuses of whoever gave up waiting for an answer, mostly in between: the model may have worked for it."""
_PASSING: Final = (408, 409, 425)
"""Statuses below 500 after which trying again may help."""
_NO_MONEY: Final = ("insufficient_quota", "billing", "exceeded your current quota", "insufficient balance")
"""A 429 that waiting does not mend."""
_TOO_LONG: Final = (
    "context_length",
    "context length",
    "context window",
    "context limit",
    "context size",
    "exceed_context_size",
    "maximum context",
    "maximum model length",
    "maximum prompt length",
    "exceeded model token limit",
    "exceeds max length",
    "input token count",
    "input token length",
    "input length",
    "input is too long",
    "prompt is too long",
    "string too long",
    "too many tokens",
    "too many input tokens",
    "total tokens limit",
    "reduce the length",
    "`inputs` tokens",
    "request too large",
    "request_too_large",
)
"""What endpoints call a prompt that is too long; one larger than a whole minute's tokens is a 429 that never passes."""
_SAID_WITH: Final = (400, 413, 422, 429, 500)
"""Statuses with which they do."""
_TITLE: Final = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)
_NO_ANSWER: Final = "The endpoint's answer"
_FILTERED: Final = ("content_filter", "content_policy", "content management policy", "responsible ai")

_CLIENTS: Final = frozenset(
    {"openai", "anthropic", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3", "google"}
)


@dataclass(frozen=True)
class Failure:
    """What went wrong with one call."""

    kind: Kind
    message: str
    """The endpoint's own words, one line."""
    retry_after: float | None = None
    """Seconds to wait, if the endpoint said so."""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_paid: bool = False
    """Whether the endpoint may charge for it."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """What the answer says it used, as LangChain counts it; empty if it does not."""
    is_lasting: bool = False
    """Whether waiting alone will not mend it."""
    remedy: str = ""
    """What to do about it, where that is known better than by its kind."""


def classify(error: BaseException) -> Failure:
    """What this error means."""
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) else None
    headers, message = _headers(error), _message(error)
    if status is None and (unsent := _unsent(error)) is not None:
        return unsent
    if (status is None or status < 300) and (told := _told_instead(error)) is not None:
        status, message = told
    kind = _kind(error, status, f"{message} {_code(error)}".lower())
    is_paid = kind in _MAYBE_PAID and (kind != "malformed" or _is_of_a_model(_answer_in(error)))
    is_paid = is_paid or status in _GAVE_UP
    remedy = _remedy(kind, status, is_paid=is_paid)
    waits = retry_after(headers, time.time())
    return Failure(kind, message, waits, headers, is_paid, _usage_in(error), remedy=remedy)


def _kind(error: BaseException, status: int | None, said: str) -> Kind:
    from langchain_core import exceptions as known

    if isinstance(error, known.ContextOverflowError) or (status in _SAID_WITH and _holds(said, _TOO_LONG)):
        return "context_overflow"
    if status == 413:
        return "context_overflow"  # a proxy takes no more, whatever the model would
    if _holds(said, _FILTERED) and (status in (400, 403, None)) and _is_clients(error):
        return "content_filter"
    if _is_named(error, "LengthFinishReasonError"):
        return "cut"
    if _is_named(error, "ContentFilterFinishReasonError"):
        return "content_filter"
    if status is not None and status >= 300:
        return _by_status(status, said)
    if isinstance(error, known.ModelRateLimitError):
        return "rate_limited"
    if isinstance(error, known.ModelTimeoutError) or _is_timeout(error):
        return "timeout"
    if isinstance(error, known.ModelAPIError):
        return "overloaded"
    if isinstance(error, known.ModelError):
        return "dropped" if isinstance(error, known.ModelConnectionError) else "refused"
    if isinstance(error, JSONDecodeError | UnicodeDecodeError) or _is_named(
        error, "APIResponseValidationError", "NoAnswer"
    ):
        return "malformed"
    if isinstance(error, ConnectionError) or _is_clients(error):
        return "dropped"
    if isinstance(error, ValueError | TypeError | KeyError) and _raised_in(error) == "langchain_openai":
        return "malformed"  # it could not make a message of the answer
    return "unknown"


def _by_status(status: int, said: str) -> Kind:
    if status == 429:
        return "refused" if _holds(said, _NO_MONEY) else "rate_limited"
    return "overloaded" if status >= 500 or status in _PASSING else "refused"


_NO_CONNECTION: Final = (
    *("ClientConnectorError", "ClientHttpProxyError", "ConnectionTimeoutError", "InvalidURL"),  # aiohttp
    "ClientConnectionResetError",  # of aiohttp: it was closed before all of the request was written
    *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "WriteError"),  # httpx
    *("NewConnectionError", "ConnectTimeoutError", "NameResolutionError"),  # urllib3
)
"""What clients call it that a request did not leave, or not all of it."""


def _unsent(error: BaseException) -> Failure | None:
    """The failure, if no connection came about; None if one did."""
    causes = list(_causes(error))
    if not any(_is_named(each, *_NO_CONNECTION) or isinstance(each, ConnectionRefusedError) for each in causes):
        return None
    place = _place(causes)
    here = f" {place}" if place else ""
    for each in reversed(causes):  # what is innermost knows best
        if isinstance(each, socket.gaierror):
            is_known = each.errno == socket.EAI_AGAIN  # no name server answers, which may pass
            problem = f"{place.rpartition(':')[0] or place or 'its host'} does not resolve ({each.strerror})"
            return Failure("unsent", problem, is_lasting=not is_known, remedy="Check the host in SIGNOFF_BASE_URL")
        if isinstance(each, ssl.SSLError) and hasattr(each, "reason"):
            said = getattr(each, "verify_message", "") or (each.reason or str(each)).replace("_", " ").lower()
            remedy = "Check SIGNOFF_BASE_URL (http or https?), or name the authority to trust in SSL_CERT_FILE"
            return Failure("unsent", f"no TLS with{here}: {said}", is_lasting=True, remedy=remedy)
        if isinstance(each, ConnectionRefusedError):
            return Failure("unsent", f"nobody listens at{here} (connection refused)", remedy=_NOBODY)
    if any(_is_named(each, "InvalidURL", "UnsupportedProtocol") for each in causes):
        return Failure("unsent", _message(error), is_lasting=True, remedy="Correct SIGNOFF_BASE_URL")
    if any(_is_timeout(each) for each in causes):
        return Failure("unsent", f"no connection to{here} within its time", remedy=_NOBODY)
    return Failure("unsent", f"no connection to{here}: {_message(causes[-1])}", remedy=_NOBODY)


_NOBODY: Final = "See that the endpoint runs and can be reached, or correct SIGNOFF_BASE_URL"
_REMEDIES: Final[Mapping[int, str]] = {
    401: "Check SIGNOFF_API_KEY (or OPENAI_API_KEY), and that it is one for SIGNOFF_BASE_URL",
    402: "Add credit to the key's account, or use another key",
    403: "See what the key may do, or use another key or model",
    404: "Check the model's name and SIGNOFF_BASE_URL",
    429: "Add credit to the key's account, or use another key",
}


def _remedy(kind: Kind, status: int | None, *, is_paid: bool) -> str:
    """What to do, where more is known than the kind."""
    if kind == "malformed" and not is_paid:
        return "See that SIGNOFF_BASE_URL is the address of a model's API: most end in /v1"
    if kind == "refused" and status is not None:
        return "Set SIGNOFF_BASE_URL to where it moved" if status < 400 else _REMEDIES.get(status, "")
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        inner = getattr(following, "os_error", None)  # aiohttp's own way
        if isinstance(inner, BaseException) and id(inner) not in seen:
            yield inner
        # httpx hides what it came from; elsewhere the context may be another try's
        following = following.__cause__ or (following.__context__ if _is_named(following, *_NO_CONNECTION) else None)


def _place(causes: list[BaseException]) -> str:
    """Host and port that were called, as far as the errors tell."""
    for each in causes:
        if isinstance(host := getattr(each, "host", None), str):
            return f"{host}:{getattr(each, 'port', '')}".rstrip(":")
    for each in causes:
        try:
            url = each.request.url  # type: ignore[attr-defined]  # of the clients' errors; httpx raises if it has none
            return f"{url.host}:{url.port or ''}".rstrip(":")
        except (AttributeError, RuntimeError):
            continue
    return ""


def _is_timeout(error: BaseException) -> bool:
    name = type(error).__name__
    return isinstance(error, TimeoutError) or name.endswith(("Timeout", "TimeoutError", "TimeoutException"))


def _told_instead(error: BaseException) -> tuple[int, str] | None:
    """The error that stood where an answer should be, with status 200 or in a stream: as if by a status of its own."""
    answer, given = _answer_in(error), error.args[0] if error.args else None
    if type(error).__name__ == "APIError":  # in a stream
        told = answer
    elif isinstance(answer, Mapping):
        told = answer.get("error")
    else:
        told = given if isinstance(given, Mapping) and _raised_in(error) == "langchain_openai" else None
    if not told:
        return None
    code = str(told.get("code") or told.get("status") or "") if isinstance(told, Mapping) else ""
    said = str(told.get("message") or told if isinstance(told, Mapping) else told).strip().partition("\n")[0][:300]
    status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else 429 if "rate_limit" in code else 500
    return status, said.rstrip(". ") or "an error"


def _answer_in(error: BaseException) -> Any:
    """The answer that could not be read, as far as the error holds it; None if it does not."""
    return next((each for each in (getattr(error, name, None) for name in ("body", "doc")) if each is not None), None)


def _is_of_a_model(answer: Any) -> bool:
    """Whether a model may have written this, so that tokens may be charged: no page, no error, and not nothing."""
    if isinstance(answer, Mapping):
        return not answer.get("error") and "choices" in answer
    return not isinstance(answer, str) or answer.lstrip().startswith(("{", "data:"))


def _usage_in(error: BaseException) -> dict[str, Any]:
    """What an error that carries an answer says of its usage, as LangChain names it."""
    completion, answer = getattr(error, "completion", None), _answer_in(error)
    used = answer.get("usage") if isinstance(answer, Mapping) else getattr(completion, "usage", None)
    if used is None and (response := getattr(error, "response", None)) is not None:
        with suppress(ValueError, RuntimeError, AttributeError):  # it is no JSON, or was not read
            whole = response.json()
            used = whole.get("usage") if isinstance(whole, Mapping) else None
    if isinstance(used, Mapping):
        names = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
        return {ours: used.get(theirs, used.get(ours, 0)) or 0 for theirs, ours in names}
    return {} if used is None else {"input_tokens": used.prompt_tokens, "output_tokens": used.completion_tokens}


def _raised_in(error: BaseException) -> str:
    """The package whose code raised it."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).partition(".")[0] if frames else ""


def _is_named(error: BaseException, *names: str) -> bool:
    """Whether it is of a class of one of these names: the clients' packages are not imported to look."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _is_clients(error: BaseException) -> bool:
    """Whether an HTTP client or a provider's package raised it."""
    return any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)


def _holds(said: str, words: tuple[str, ...]) -> bool:
    return any(word in said for word in words)


def _code(error: BaseException) -> str:
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    found = [getattr(error, "code", None)]
    if isinstance(inner, Mapping):
        found += [inner.get("code"), inner.get("type")]
    return " ".join(str(code) for code in found if code)


def _headers(error: BaseException) -> dict[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in headers.items()} if headers is not None else {}


def _message(error: BaseException) -> str:
    """The endpoint's own words, one line."""
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    said = body.get("message") if isinstance(body, Mapping) else None
    if isinstance(body, str) and isinstance(status, int) and status >= 400:  # a proxy's page, or a plain text
        title = _TITLE.search(body)
        said = body if title is None else title[1]
    text = said if isinstance(said, str) and said.strip() else str(error)
    line = text.replace(" ssl:default", "").strip().partition("\n")[0][:300].rstrip(". \r") or type(error).__name__
    is_told = not isinstance(status, int) or line.startswith((str(status), "Error code", _NO_ANSWER))
    return line if is_told else f"{status} {line}"
