"""Values as the ledger keeps them: JSON as its one text, with a digest; moments as texts; rows as dataclasses.

An approval is bound to the digest of its arguments. Moments are UTC, ISO 8601, with microseconds, and sort as texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from signoff.checkpoints.errors import Tampered

T = TypeVar("T")
_KINDS: Final[Mapping[Any, type]] = {"str": str, "int": int}
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. TypeError or ValueError if it is not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_storable(value: Any) -> None:
    """Raise ValueError or TypeError unless every store keeps this as it is: JSON, UTF-8, integers of 64 bits."""
    canonical_json(value).encode("utf-8")
    _check_integers(value)


def readable_text(text: str) -> str:
    """The text with what cannot be written as UTF-8 written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain_text(text: str) -> str:
    """The text as every database takes it, and as it is found again: what UTF-8 cannot say, and NUL, as escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return readable_text(text).replace("\0", "\\x00")


def _check_integers(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the key {name!r} is not text")
            _check_integers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_integers(inner)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"the number {value:.3e} does not fit into 64 bits")


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON; to Python 1 and true are equal."""
    return canonical_json(one) == canonical_json(other)


def digest(value: Any) -> str:
    """Sha256 of the canonical JSON, 64 hex digits."""
    return digest_text(canonical_json(value))


def digest_text(text: str) -> str:
    """Sha256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def from_row(kind: type[T], row: Any, **others: Any) -> T:
    """The dataclass of a row's columns of the same names; `others` are those of its fields that are kept otherwise.

    Tampered if a column holds what no row has that was written here: bytes, nothing, a number for a text.
    """
    kept = {}
    for field in fields(kind):  # type: ignore[arg-type]  # always a dataclass
        if field.name not in others:
            kept[field.name] = value = getattr(row, field.name)
            if value is None or isinstance(value, bytes) or not isinstance(value, _KINDS.get(field.type, object)):
                raise Tampered(f"A row of the ledger ({kind.__name__})", f"its {field.name} is {value!r:.60}")
    return kind(**kept, **others)


def read_json(text: Any, kind: type[T], what: str) -> T:
    """A JSON text that was written here; Tampered, with `what` it is of, if it is none or no value of this type."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise Tampered(what, f"{text!r:.60} stands where there should be a {kind.__name__} in JSON")
    return found


def read_once(text: str) -> Any:
    """The JSON that somebody wrote; ValueError also if it is nested too deeply, or an object has a name twice, as one
    value would go unseen.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"{twice!r:.200} is there twice")
    return found


def now() -> str:
    """This moment, such as '2026-01-31T09:30:00.000000Z'."""
    return moment_of(datetime.now(UTC))


def moment_of(at: datetime) -> str:
    """An aware datetime as moments are written."""
    return at.astimezone(UTC).strftime(_MOMENT)


def today() -> str:
    """This day, of UTC, such as '2026-01-31'."""
    return now()[:10]


def later(seconds: float) -> str:
    return after(now(), seconds)


def after(moment: str, seconds: float) -> str:
    """The moment so many seconds after this one, or before; Tampered if this is none."""
    try:
        return moment_of(read_moment(moment) + timedelta(seconds=seconds))
    except OverflowError:
        raise Tampered("A moment in the database", f"{seconds:g} s from {moment!r:.60} is never") from None


def seconds_since(moment: str) -> float:
    """Seconds from this moment until now; Tampered if it is none."""
    return (read_moment(now()) - read_moment(moment)).total_seconds()


def read_moment(text: str) -> datetime:
    """The moment that is written so; Tampered if this is none."""
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        found = None
    if found is None or found.tzinfo is None:
        raise Tampered("A moment in the database", f"{text!r:.60} is none")
    return found
