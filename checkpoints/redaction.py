"""Redaction: secrets become `[redacted]` before anything is written where people read it.

A secret is told by the name it goes under (secret_patterns.toml), by its look, or because it is known: those of the
settings and the environment are. A secret that is none of these stays; so keep secrets out of goals and arguments in
the first place.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from signoff.checkpoints.canonical import read_once, readable_text

REDACTED: Final = "[redacted]"

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
            text = text.replace(spelling, REDACTED)
    if text.lstrip()[:1] in ("{", "["):
        try:
            parsed = read_once(text)
        except ValueError:
            return hide_patterns(text)
        redacted = redact(parsed)
        return text if redacted == parsed else json.dumps(redacted, ensure_ascii=False)
    return hide_patterns(text)


def _members(found: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Cover]]:
    """Names without secrets, values, and how much of the value is one; also of `{"name": …, "value": …}`."""
    pair = _stronger(*(_name_cover(found.get(label)) for label in ("name", "key", "header", "variable")))
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


def _stronger(*covers: Cover) -> Cover:
    return max(covers, key=("nothing", "texts", "everything").index)


def _free_name(taken: Mapping[Any, Any], name: Any) -> Any:
    """The name, numbered if redaction made it one that is there."""
    kept, number = name, 1
    while kept in taken:
        number += 1
        kept = f"{name} {number}"
    return kept


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
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets_in(inner)
    elif isinstance(value, str) and "@" in value and "://" in value:
        try:
            password = urlsplit(value).password or ""
        except ValueError:
            return
        yield from (password, unquote(password))


Cover = Literal["nothing", "texts", "everything"]
"""How much of what has a name is a secret; texts: not its numbers, as `tokens` are strings or a count of them."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LONGEST_NAME: Final = 200


@cache
def _patterns() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("secret_patterns.toml").read_text(encoding="utf-8"))


@cache
def _names(listed: str) -> frozenset[str]:
    """The words of one list of names."""
    return frozenset(_patterns()["names"][listed].split())


@cache
def _look(of: str) -> re.Pattern[str]:
    return re.compile(_patterns()["looks"][of])


def covers(name: str) -> Cover:
    """How much of what has this name is a secret."""
    return _covers(name[-_LONGEST_NAME:])


@lru_cache(maxsize=4096)
def _covers(name: str) -> Cover:
    words = [word.lower() for word in _WORD.findall(name)]
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        if (allowed := _patterns()["texts"].get(word)) is not None:
            if not after and (allowed == "*" or not before or before[-1] in allowed.split()):
                return "texts"
        elif _is_secret(word, before) and not _names("about").intersection(after):
            return "everything"
    return "nothing"


def _is_secret(word: str, before: list[str]) -> bool:
    if word == "token":
        return not _names("no_secret_token").intersection(before)
    if word in ("key", "keys", "id"):
        return bool(before) and (before[-1] in _names("before_key") if word != "id" else before[-1] == "session")
    return word in _names("secret") or word.endswith(tuple(_names("endings")))


_LINE: Final = re.compile(r"[^\r\n]*+")
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]+)[ \t]\Z")


def hide_patterns(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    if "PRIVATE KEY" in text:
        text = _look("private_key").sub(REDACTED, text)
    if "eyJ" in text:
        text = _look("jwt").sub(lambda found: REDACTED if found[0].count(".") > 1 else found[0], text)
    text = _look("provider_token").sub(REDACTED, text)
    text = _look("credentials").sub(_hide_credentials, text)
    if "@" in text:
        text = _look("password_in_address").sub(rf"\1{REDACTED}@", text)
    return _hide_assigned(text)


def _hide_credentials(found: re.Match[str]) -> str:
    """`Bearer …` and `Basic …` of a header; not basic sentences, nor bearers of news."""
    scheme, gap, value = found.groups()
    if scheme.lower() == "bearer":
        secret = len(value) >= 20 or any(mark.isdigit() for mark in value)
    else:
        try:
            secret = b":" in base64.b64decode(value + "=" * (-len(value) % 4))
        except binascii.Error:
            secret = False
    return f"{scheme}{gap}{REDACTED}" if secret else found[0]


def _hide_assigned(text: str) -> str:
    """Hide what is assigned to a secret's name: `password=…`, `"api_key": "…"`, `Cookie: …`, `--token …`."""
    parts: list[str] = []
    done = place = 0
    while (found := _look("assigned").search(text, place)) is not None:
        place = found.end()
        name = found[1] or found[3]
        cover = covers(name)
        if name.lower() in ("key", "keys") and (
            word := _WORD_BEFORE.search(text, max(0, found.start() - 24), found.start())
        ):
            cover = covers(f"{word[1]} {name}")
        if cover == "nothing":
            continue
        start, end = _value(text, place, name, opened=text[max(0, found.start() - 1) : found.start()])
        if end > start and _is_worth_hiding(text[start:end], cover, quoted=start > place, sign=found[2] or "="):
            parts += (text[done:start], REDACTED)
            done = end
        place = max(place, end)
    return "".join((*parts, text[done:]))


def _value(text: str, place: int, name: str, *, opened: str) -> tuple[int, int]:
    """Where the value that begins here is, without its quotes. A header's is its line, a structure's too."""
    found = _look("value").match(text, place)
    if found is None:
        return place, place
    kind = "escaped" if found["mark"] else str(found.lastgroup)
    if kind != "bare":
        return found.span(kind)
    is_header = name.lower().endswith(("authorization", "cookie", "cookies"))
    if is_header or (found[0][0] in "[{(" and not found[0].startswith(REDACTED)):
        line = _LINE.match(text, place)
        end = line.end() if line else found.end()
        if is_header and opened in ("'", '"'):
            quote = text.find(opened, place, end)
            end = quote if quote >= 0 else end
        return place, end
    return found.span()


def _is_worth_hiding(value: str, cover: Cover, *, quoted: bool, sign: str) -> bool:
    word = value.strip(",.)}] ")
    if not word or word.lower() in _names("no_value"):
        return False
    if cover == "everything":
        return True
    # A word such as `tokens` or `session` before a colon is as often prose, and `tokens=120` is a count.
    return (quoted or sign == "=") and not word.replace(",", "").replace(".", "").isdigit()
