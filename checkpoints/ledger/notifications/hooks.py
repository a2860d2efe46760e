"""Hooks: who is told when something waits for a person, and how one notice is handed over."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Final, Literal, Protocol, get_args
from urllib.parse import SplitResult, urlsplit

from signoff.checkpoints.canonical import digest_text
from signoff.checkpoints.errors import HookFailed
from signoff.error_base import SettingsError
from signoff.installation import VERSION

if TYPE_CHECKING:
    import ssl

    from signoff.settings import Settings

HookEvent = Literal["pending", "decided", "expired", "escalated", "unknown", "late", "alert", "cleared"]
"""pending: a question waits for a person; escalated: another role may decide it now; expired: nobody did in time;
decided: approved, rejected, answered or revoked; unknown: nobody knows whether an action happened; late: a call that
had been given up for lost was done; alert, cleared: something is wrong with the fleet as a whole, and is over."""

EVENTS: Final[frozenset[HookEvent]] = frozenset(get_args(HookEvent))

DELAYS: Final = (10.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0, 50_400.0)
"""Seconds before each further try: eight tries in about 23 hours."""

_SECRET_PREFIX = "whsec_"
_LONGEST_COMPLAINT = 500


NoticeStatus = Literal["due", "sent", "given_up"]
"""due: to be sent, perhaps again; sent: taken by its hook; given_up: tried often enough, or refused for good."""


@dataclass(frozen=True)
class Notice:
    """One thing that one hook is told."""

    id: str
    """The same at every try."""
    hook: str
    event: str
    run_id: str
    body: str
    """JSON, as it is sent."""
    at: str
    status: NoticeStatus
    tries: int
    next_at: str
    error: str
    """Why the last try failed."""


class Hook(Protocol):
    """Somebody who is told. A program may bring its own."""

    @property
    def name(self) -> str:
        """What the outbox calls it; the same in every process, and without secrets."""

    @property
    def events(self) -> Collection[str]:
        """Of what it is told."""

    @property
    def delays(self) -> tuple[float, ...]:
        """Seconds before each further try; after the last one it is given up."""

    @property
    def time_limit(self) -> float:
        """Seconds one try may take."""

    def prepare(self) -> None:
        """Import what `send` needs, before a thread of its own calls it: a fork amid an import hangs the child."""

    def send(self, notice: Notice) -> None:
        """Hand it over; HookFailed if it was not taken."""


@dataclass(frozen=True)
class Webhook:
    """An address that notices are posted to, signed as the Standard Webhooks specification says."""

    url: str
    secret: str = field(default="", repr=False)
    """`whsec_` and base64, or any text; empty: not signed."""
    events: frozenset[HookEvent] = EVENTS
    time_limit: float = 10.0
    delays: tuple[float, ...] = DELAYS

    def __post_init__(self) -> None:
        problem = _problem(self.url)
        if problem:  # the address itself is not shown: it may hold a secret
            raise SettingsError("webhook", problem, "Give an address such as https://example.org/hooks/signoff")
        _key(self.secret)

    @property
    def name(self) -> str:
        """Server and a digest: the rest of an address is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc} {digest_text(self.url)[:8]}"

    def prepare(self) -> None:
        import httpx2

        "prepared".encode("idna")  # how names of servers are written
        httpx2.Client(verify=_certificates()).close()

    def send(self, notice: Notice) -> None:
        """Post it. Taken is any answer 2xx; redirects are not followed and what the answer holds is not read."""
        import httpx2

        body, headers = notice.body.encode("utf-8"), self._headers(notice)

        def post() -> int:
            with (
                httpx2.Client(verify=_certificates(), timeout=self.time_limit, follow_redirects=False) as client,
                client.stream("POST", self.url, content=body, headers=headers) as answer,
            ):
                return answer.status_code

        try:
            status = _within(self.time_limit, post)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise HookFailed(f"no answer within {self.time_limit:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise HookFailed(f"{type(error).__name__}: {error}") from error
        if status == 410:
            raise HookFailed("410 Gone: nobody wants notices there any more", final=True)
        if not 200 <= status < 300:
            raise HookFailed(f"it answered {status}" + (", and is not followed" if 300 <= status < 400 else ""))

    def _headers(self, notice: Notice) -> dict[str, str]:
        moment = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": f"signoff/{VERSION}",
            "webhook-id": notice.id,
            "webhook-timestamp": moment,
        }
        if self.secret:
            signed = f"{notice.id}.{moment}.{notice.body}".encode()
            mac = hmac.new(_key(self.secret), signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode('ascii')}"
        return headers


@dataclass(frozen=True)
class CommandHook:
    """A program that is started for each notice and reads it as JSON from its standard input."""

    argv: tuple[str, ...]
    events: frozenset[HookEvent] = EVENTS
    time_limit: float = 30.0
    delays: tuple[float, ...] = DELAYS

    def __post_init__(self) -> None:
        if not self.argv:
            raise SettingsError("hook command", "it is empty", "Name a program.")

    @property
    def name(self) -> str:
        """Program and a digest: what it is given may be secret."""
        return f"{Path(self.argv[0]).name} {digest_text(shlex.join(self.argv))[:8]}"

    def prepare(self) -> None:
        """Nothing is loaded late."""

    def send(self, notice: Notice) -> None:
        """Run it, without a shell. Taken is exit code 0."""
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    env=_environment(os.environ, notice),
                    start_new_session=True,
                )
            except OSError as error:
                raise HookFailed(f"it cannot be started: {error}") from error
            try:
                process.communicate(notice.body.encode("utf-8"), timeout=self.time_limit)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise HookFailed(f"not finished within {self.time_limit:g} s, and killed") from error
            if process.returncode:
                raise HookFailed(f"exit code {process.returncode}{_last_line(complaints)}")


def configured_hooks(settings: Settings) -> tuple[Hook, ...]:
    """The hooks that the settings name; SettingsError if one makes no sense."""
    events = frozenset(event for event in EVENTS if event in settings.hook_events) or EVENTS
    unknown = set(settings.hook_events) - EVENTS
    if unknown:
        raise SettingsError("SIGNOFF_HOOK_EVENTS", f"{min(unknown)!r} is no event", f"Use {', '.join(sorted(EVENTS))}.")
    secret = settings.webhook_secret.get_secret_value()
    hooks: list[Hook] = [Webhook(url, secret, events) for url in settings.webhooks]
    if settings.hook_command:
        try:
            argv = tuple(shlex.split(settings.hook_command))
        except ValueError as error:
            raise SettingsError(
                "SIGNOFF_HOOK_COMMAND", f"cannot be read as a command line ({error})", "Mend its quotes."
            ) from error
        hooks.append(CommandHook(argv, events))
    return tuple(hooks)


@cache
def _certificates() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


def _problem(url: str) -> str:
    """Why notices cannot be posted there; empty if they can."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"its address cannot be read ({error})"
    if parts.scheme not in ("http", "https"):
        return f"its address begins with {parts.scheme!r}, not with http or https"
    if not parts.hostname or port == 0 or any(mark.isspace() or not mark.isprintable() for mark in url):
        return "its address names no server"
    if parts.username is not None or parts.password is not None:
        return "its address holds a user's name or password, which would be written to logs"
    return ""


def _key(secret: str) -> bytes:
    """The bytes that sign."""
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode("utf-8")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        problem = f"what follows {_SECRET_PREFIX} is not base64"
        raise SettingsError("webhook secret", problem, "Copy the whole of it, or use plain text.")
    return key


def _within(seconds: float, call: Callable[[], int]) -> int:
    """Its result; TimeoutError if it takes longer, whatever it is doing: a client's own limits are per read."""
    found: Future[int] = Future()

    def run() -> None:
        try:
            found.set_result(call())
        except Exception as error:
            found.set_exception(error)

    Thread(target=run, name="signoff-webhook", daemon=True).start()
    return found.result(seconds)


def _environment(variables: Mapping[str, str], notice: Notice) -> dict[str, str]:
    """What the command sees: everything but the secrets that signoff itself works with."""
    kept = {name: value for name, value in variables.items() if not _is_secret(name.upper(), value)}
    about = json.loads(notice.body).get("approval") or {}
    return {
        **kept,
        "SIGNOFF_EVENT": notice.event,
        "SIGNOFF_NOTICE": notice.id,
        "SIGNOFF_RUN": notice.run_id,
        "SIGNOFF_APPROVAL": str(about.get("id", "")),
    }


def _is_secret(name: str, value: str) -> bool:
    if name.startswith("SIGNOFF_"):
        is_address = name in ("SIGNOFF_DATABASE", "SIGNOFF_WEBHOOKS") and "://" in value  # it may hold a password
        return is_address or name.endswith(("KEY", "SECRET"))
    return name.endswith("_API_KEY") or name == "PGPASSWORD"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it has started."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):  # it has ended this moment
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def _last_line(complaints: IO[bytes]) -> str:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _LONGEST_COMPLAINT))
    lines = complaints.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1]}" if said else ""
