"""Redaction: secrets become `[redacted]` before anything is written where people read it.

A secret is told by the name it goes under, by its look, or because it is known: those of the settings and the
environment are. A secret that is none of these stays; so keep secrets out of goals and arguments in the first place.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from signoff.checkpoints.canonical import readable_text
from signoff.checkpoints.secret_patterns import REDACTED, Cover, covers, hide_patterns

_SHORTEST: Final = 8
_TOKEN: Final = 16
_MOST: Final = 256
_FOLDER: Final = "PWD"
"""In the environment this is the working folder, not a password."""
_known: dict[str, tuple[str, ...]] = {}
"""Each known secret, and how it may be spelled."""
_learning: Final = threading.Lock()


def remember_secrets(*secrets: str) -> None:
    """Have these texts redacted wherever they appear; what is shorter than 8 characters would hide ordinary words."""
    with _learning:
        for secret in secrets:
            if len(secret) >= _SHORTEST and secret not in REDACTED and REDACTED not in secret:
                _known[secret] = (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
        for secret in list(_known)[: max(0, len(_known) - _MOST)]:
            del _known[secret]


def remember_settings(settings: BaseModel) -> None:
    """Have the secrets of these settings redacted, and those in the environment: tools and models read theirs there."""
    named = (value for name, value in os.environ.items() if name != _FOLDER and covers(name) == "everything")
    remember_secrets(*_secrets_in(settings), *named)


def redact(value: Any) -> Any:
    """A copy of a JSON value without its secrets."""
    done: list[Any] = [None]
    todo: list[tuple[Any, Any, Any, Cover]] = [(done, 0, value, "nothing")]
    while todo:  # no recursion: values may be nested as deeply as they like
        into, place, found, cover = todo.pop()
        if cover == "everything":
            into[place] = found if found is None or isinstance(found, bool) or found in ("", [], {}) else REDACTED
        elif isinstance(found, str):
            into[place] = redact_text(found) if cover == "nothing" else REDACTED if found else found
        elif isinstance(found, Mapping):
            copy: dict[Any, Any] = {}
            into[place] = copy
            for name, inner, inner_cover in _members(found):
                kept = _free_name(copy, name)
                copy[kept] = None
                todo.append((copy, kept, inner, _stronger(cover, inner_cover)))
        elif isinstance(found, list | tuple):
            into[place] = items = [None] * len(found)
            todo.extend((items, at, inner, _stronger(cover, _item_cover(found, at))) for at, inner in enumerate(found))
        else:
            into[place] = found
    return done[0]


def redact_text(text: str) -> str:
    """The text without its secrets, and with what UTF-8 cannot say as escapes."""
    text = readable_text(text)
    for spellings in sorted(_known.values(), key=lambda known: -len(known[0])):
        for spelling in spellings:
            if spelling in text:
                text = text.replace(spelling, REDACTED)
    if text.lstrip()[:1] in ("{", "["):
        try:
            parsed = json.loads(text, object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError):
            return hide_patterns(text)
        redacted = redact(parsed)
        return text if redacted == parsed else json.dumps(redacted, ensure_ascii=False)
    return hide_patterns(text)


def _members(found: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Cover]]:
    """Names without secrets, values, and how much of the value is one; also of `{"name": …, "value": …}`."""
    pair: Cover = "nothing"
    for label in ("name", "key", "header", "variable"):
        pair = _stronger(pair, _name_cover(found.get(label)))
    for name, inner in found.items():
        kept = redact_text(name) if isinstance(name, str) else name
        yield kept, inner, _stronger(_name_cover(name), pair if name == "value" else "nothing")


def _item_cover(items: Sequence[Any], place: int) -> Cover:
    """How much of a list's item is a secret because of the one before: `["Cookie", …]`, `[…, "--password", …]`."""
    label = items[place - 1] if place else None
    if isinstance(label, str) and (len(items) == 2 or label.startswith("-")):
        return _name_cover(label)
    return "nothing"


def _name_cover(name: object) -> Cover:
    """What a name covers, as it is and as it will be read again."""
    return _stronger(covers(name), covers(redact_text(name))) if isinstance(name, str) else "nothing"


def _stronger(one: Cover, other: Cover) -> Cover:
    return max(one, other, key=("nothing", "texts", "everything").index)


def _free_name(taken: Mapping[Any, Any], name: Any) -> Any:
    """The name, numbered if redaction made it one that is there."""
    kept, number = name, 1
    while kept in taken:
        number += 1
        kept = f"{name} {number}"
    return kept


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError if a name is there twice, as one of the values would go unseen."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _address_secrets(value: Any) -> Iterator[str]:
    """What looks like a token in the paths and queries of web addresses."""
    for address in value if isinstance(value, list | tuple) else [value]:
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            parts = re.split(r"[/?&=#]", address.partition("://")[2])[1:]
            yield from (part for part in parts if len(part) >= _TOKEN and any(mark.isdigit() for mark in part))


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            found = getattr(value, name)
            yield from _secrets_in(found)
            if not field.repr:  # such as the address of a hook, in whose path the secret is
                yield from _address_secrets(found)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets_in(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _secrets_in(inner)
    elif isinstance(value, str) and "@" in value and "://" in value:
        try:
            password = urlsplit(value).password or ""
        except ValueError:
            return
        yield from (password, unquote(password))
