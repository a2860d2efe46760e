"""What looks like a secret: a value whose name says so (`dbPassword`, but not `max_tokens`), and a provider's token.

The words and the tokens of providers stand in secret_patterns.toml.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

Cover = Literal["nothing", "texts", "everything"]
"""How much of what has a name is a secret; texts: not its numbers, as `tokens` are strings or a count of them."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LONGEST: Final = 200


@cache
def _known() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("secret_patterns.toml").read_text(encoding="utf-8"))


@cache
def _names(listed: str) -> frozenset[str]:
    """The words of one list of names."""
    return frozenset(_known()["names"][listed].split())


@cache
def _endings() -> tuple[str, ...]:
    return tuple(_names("endings"))


@cache
def _provider_token() -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_known()['tokens']['patterns'])})[A-Za-z0-9_-]*")


def covers(name: str) -> Cover:
    """How much of what has this name is a secret."""
    return _covers(name[-_LONGEST:])


@lru_cache(maxsize=4096)
def _covers(name: str) -> Cover:
    words = [word.lower() for word in _WORD.findall(name)]
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        if (allowed := _known()["texts"].get(word)) is not None:
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
    return word in _names("secret") or word.endswith(_endings())


REDACTED: Final = "[redacted]"

# None of these can fail after a long repetition that another start would repeat, or the time would be quadratic.
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)*+")
_SCHEME: Final = re.compile(r"\b(bearer|basic)([ \t]+)([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_USERINFO: Final = re.compile(r'(:(?:\\?/){2}[^\s/:@"<>]*:)[^\s/"<>]+@')

_ASSIGNED: Final = re.compile(
    r"""(?<![\w.-])(?:([\w.-]++)\\*["']?[ \t]*+(=>|:=|[:=])[ \t]*+|(-{1,2}[A-Za-z][\w.-]*+)[ \t]++(?=[^\s-]))"""
)
_VALUE: Final = re.compile(
    r"""(?P<mark>\\+["'])(?P<escaped>(?:(?!(?P=mark))[^\r\n])*+)"""
    r"""|"(?P<double>(?:[^"\\\r\n]|\\.)*+)"""
    r"""|'(?P<single>(?:[^'\\\r\n]|\\.)*+)"""
    r"""|(?P<bare>[^\s;&"'<>]++)"""
)
_LINE: Final = re.compile(r"[^\r\n]*+")
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]+)[ \t]\Z")


def hide_patterns(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    if "PRIVATE KEY" in text:
        text = _PEM.sub(REDACTED, text)
    if "eyJ" in text:
        text = _JWT.sub(lambda found: REDACTED if found[0].count(".") > 1 else found[0], text)
    text = _provider_token().sub(REDACTED, text)
    text = _SCHEME.sub(_hide_credentials, text)
    if "@" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
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
    while (found := _ASSIGNED.search(text, place)) is not None:
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
    found = _VALUE.match(text, place)
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
