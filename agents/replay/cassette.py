"""A cassette: the traffic with models and tools of a run, written down while it happens, or played again in its place.

It is a file of JSON lines: a header, then one exchange a line, in the order in which they ended, then what the recorded
run came to. A question is found by the digest of what it asks (exchange.py), so it does not matter how it is sent, by
whom, or in which order. HTTP is one floor too low for that: there a retry is another request, a stream another answer,
and each provider another body.

What is recorded is without secrets, and it is what the recorded run goes on with: a replay is then the same run.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from langgraph.errors import GraphBubbleUp

from signoff.agents.errors import ModelError, NotRecorded, RecordingUnreadable, UnknownPrice
from signoff.agents.replay.exchange import Exchange, Request
from signoff.checkpoints import redact
from signoff.error_base import SignoffError
from signoff.tools.errors import SourcesError

T = TypeVar("T")

Mode = Literal["record", "replay"]

FORMAT: Final = 1
"""Version of the format; other versions are refused."""


class Cassette:
    """One cassette, recording or replaying; threads, event loops and processes may share it."""

    def __init__(self, path: Path, mode: Mode, lines: list[str]) -> None:
        self.path, self.mode, self.about = path, mode, _read_header(path, lines)
        self.notes: tuple[str, ...] = ()
        self._recorded: list[Request] = []
        self._left: dict[str, deque[Exchange]] = defaultdict(deque)
        self._misses: list[NotRecorded] = []
        self._taking = threading.Lock()
        self.ending: Mapping[str, Any] | None = None
        """What the recorded run had come to when the recording ended last; None if nobody wrote that down."""

    @classmethod
    def open(cls, path: Path | str, mode: Mode, *, about: Mapping[str, Any] | None = None) -> Cassette:
        """Open a cassette to record on, made if it is not there, or to replay; RecordingUnreadable if that cannot be.

        `about` goes into the header of a new one, without its secrets. One that is there already is recorded on
        after what it has.
        """
        path = Path(path)
        if mode == "replay":
            return cls._load(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.stat().st_size:
            _append(path, {"signoff_tape": FORMAT, "about": redact(dict(about or {}))})
        return cls(path, "record", _lines(path))

    @classmethod
    def _load(cls, path: Path) -> Cassette:
        lines = _lines(path)
        cassette = cls(path, "replay", lines)
        for number, line in enumerate(lines[1:], start=2):
            try:
                found = json.loads(line)
                if found["kind"] == "ending":
                    cassette.ending = found["ending"]
                    continue
                exchange = Exchange.read(found)
                key = exchange.request.key
            except (ValueError, KeyError, TypeError, AttributeError):
                torn = f"Line {number} of {str(path)!r} is torn and left out: a process ended while it wrote it."
                cassette.notes += (torn,)
                continue
            cassette._recorded.append(exchange.request)
            cassette._left[key].append(exchange)
        return cassette

    async def play(self, request: Request, call: Callable[[], Awaitable[T]]) -> T:
        """The recorded answer, or, when recording, that of the call, written down first."""
        if self.mode == "replay":
            return cast(T, self.find(request))
        try:
            answer: Any = await call()
        except Exception as error:
            if _is_answer(error):
                self.add(request, error)
            raise
        return cast(T, self.add(request, answer))

    def find(self, request: Request) -> Any:
        """The next recorded answer to this: a message or a value, or the error that was raised; NotRecorded if none."""
        with self._taking:
            left = self._left.get(request.key)
            exchange = left.popleft() if left else None
        if exchange is not None:
            return exchange.answer()
        miss = NotRecorded(self.path, str(request), describe_difference(request, self._recorded))
        self._misses.append(miss)
        raise miss

    def add(self, request: Request, answer: Any) -> Any:
        """Write down an answer or an error; returns the answer as a replay will give it."""
        exchange = Exchange.of(request, answer)
        _append(self.path, exchange.line)
        return None if exchange.error is not None else exchange.answer()

    def end(self, ending: Mapping[str, Any]) -> None:
        """Write down what the run has come to, as JSON without secrets."""
        _append(self.path, {"kind": "ending", "ending": ending})

    @property
    def unused(self) -> tuple[Request, ...]:
        """What was recorded and was not asked in this replay, in recorded order."""
        with self._taking:
            left = {id(exchange.request) for exchanges in self._left.values() for exchange in exchanges}
        return tuple(request for request in self._recorded if id(request) in left)

    @property
    def misses(self) -> tuple[NotRecorded, ...]:
        """What this replay asked and the cassette does not have, whatever became of the error."""
        return tuple(self._misses)


def _is_answer(error: Exception) -> bool:
    """Whether the error came from a model or a tool, and not from a budget, a setting or the database of ours."""
    if isinstance(error, GraphBubbleUp | UnknownPrice):
        return False
    return not isinstance(error, SignoffError) or isinstance(error, ModelError | SourcesError)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise RecordingUnreadable(path, error.strerror or str(error)) from error
    return text.removesuffix("\n").split("\n")


def _read_header(path: Path, lines: list[str]) -> Mapping[str, Any]:
    try:
        header = json.loads(lines[0])
        version, about = header["signoff_tape"], header["about"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise RecordingUnreadable(path, "its first line is no header of a recording") from None
    if version != FORMAT or not isinstance(about, dict):
        raise RecordingUnreadable(path, f"its format is {version!r}, and this signoff knows {FORMAT}")
    for name in ("settings", "options", "input"):
        if not isinstance(about.get(name, {}), dict):
            raise RecordingUnreadable(path, f"its header has {name} that are no JSON object")
    return about


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """Add one whole line; after a torn one, which a process left behind that died, on a line of its own."""
    data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
    try:
        # Opened for each line: no descriptor is shared with a child that is forked, or left open.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "r+b", buffering=0) as file, _alone(descriptor):
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read(1) not in (b"", b"\n"):
                data = b"\n" + data
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise RecordingUnreadable(path, f"it cannot be written: {error.strerror or error}") from error


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Be the only one that writes, where the system has locks for it; elsewhere appends alone keep lines whole."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


_LONGEST: Final = 4_000
"""Words of a part that are compared from the first that differs."""
_SHOWN: Final = 24
"""Words on each side of a difference."""
_PARTS: Final = 3
_WIDTH: Final = 300
"""Characters that are shown of one difference."""


def describe_difference(asked: Request, known: Iterable[Request]) -> str:
    """How the question differs from the most similar one; says so if there is none of its kind."""
    same_kind = [request for request in known if request.kind == asked.kind]
    if not same_kind:
        return f"It has no call of a {asked.kind} at all."
    nearest = max(same_kind, key=lambda request: _likeness(asked, request))
    if nearest.key == asked.key:
        times = sum(request.key == asked.key for request in same_kind)
        return f"It has this {'once' if times == 1 else f'{times} times'}, and it is asked once more."
    asked_parts, known_parts = dict(asked.parts), dict(nearest.parts)
    names = [name for name in {**known_parts, **asked_parts} if asked_parts.get(name) != known_parts.get(name)]
    lines = [_describe_part(name, known_parts.get(name), asked_parts.get(name)) for name in names[:_PARTS]]
    if len(names) > _PARTS:
        lines.append(f"  and {len(names) - _PARTS} more parts differ: {', '.join(names[_PARTS:])[:_WIDTH]}")
    return "\n".join([f"The nearest it has: {nearest}", *lines])


def _likeness(asked: Request, known: Request) -> tuple[float, float]:
    """How many parts are the same, then how much the first that is not is alike."""
    asked_parts, known_parts = dict(asked.parts), dict(known.parts)
    names = asked_parts.keys() | known_parts.keys()
    different = [name for name in sorted(names) if asked_parts.get(name) != known_parts.get(name)]
    if not different:
        return 1.0, 1.0
    first, second = asked_parts.get(different[0], ""), known_parts.get(different[0], "")
    return 1 - len(different) / len(names), SequenceMatcher(None, first[:_LONGEST], second[:_LONGEST]).quick_ratio()


def _describe_part(name: str, known: str | None, asked: str | None) -> str:
    if known is None or asked is None:
        there, what = ("asked", asked) if known is None else ("recorded", known)
        return f"  {name}: only in what was {there}: {_cut(what or '')}"
    before, after = _first_difference(known.split(), asked.split())
    return f"  {name}:\n    - recorded: {_cut(before)}\n    + asked:    {_cut(after)}"


def _first_difference(known: list[str], asked: list[str]) -> tuple[str, str]:
    """The words around the first difference, on both sides; what differs is in brackets."""
    same = next((at for at, pair in enumerate(zip(known, asked, strict=False)) if pair[0] != pair[1]), None)
    start = min(len(known), len(asked)) if same is None else same
    known_rest, asked_rest = known[start : start + _LONGEST], asked[start : start + _LONGEST]
    codes = SequenceMatcher(None, known_rest[:200], asked_rest[:200], autojunk=False).get_opcodes()
    _, _, known_end, _, asked_end = next((code for code in codes if code[0] != "equal"), ("", 0, 0, 0, 0))
    before = known[max(0, start - 6) : start]

    def shown(words: list[str], end: int) -> str:
        changed = " ".join(words[: min(end, _SHOWN)]) + (" …" if end > _SHOWN else "")
        return " ".join((*before, f"[{changed}]", *words[end : end + 4]))

    return shown(known_rest, known_end), shown(asked_rest, asked_end)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
