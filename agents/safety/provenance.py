"""Where a proposal comes from: what in it a person should be warned of, because it came from outside.

An address that stands in the goal is somebody's wish; one that stands only in a document is the document's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from signoff.agents.safety.hidden_text import hidden_pieces, plain_text
from signoff.agents.safety.injection import Finding, find_orders
from signoff.agents.safety.pii import KINDS, find_private
from signoff.checkpoints import REDACTED

MOST: Final = 8
"""Warnings on one proposal; more are counted."""

_FIELD: Final = 300
"""Longer texts, and those of several lines, are works: what they quote is not flagged, orders in them are."""
_URL: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s<>\"'`{}|\\^\[\]]+|\bwww\.[\w.-]+\.\w{2,}[^\s<>\"'`]*", re.IGNORECASE
)
_HOST: Final = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24}(?:/[^\s<>\"'`]*)?(?![\w.-]*@)", re.IGNORECASE
)
_PATH: Final = re.compile(
    r"(?<![\w:/.])(?:~|\.\.|/|[A-Za-z]:[\\/])[\w.@ \\/~-]{3,}|(?:^|[/\\])\.(?:env|ssh|aws|netrc|git)\b[\w./\\-]*"
)
_MONEY: Final = re.compile(
    r"(?:[$€£¥]|\b(?:usd|eur|gbp|chf|btc|eth)) ?(\d[\d.,' ]*\d|\d)"
    r"|(\d[\d.,' ]*\d|\d) ?(?:[$€£¥]|(?:usd|eur|gbp|chf|btc|eth|dollars?|euros?)\b)",
    re.IGNORECASE,
)
_COIN: Final = re.compile(r"\b(?:0x[0-9a-fA-F]{40}|bc1[a-z0-9]{20,60}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b")
_COMMAND: Final = re.compile(r"\$\(|`|\|\s*\w|&&|;\s*\w|>\s*[\w/~.]")
_AMOUNT_NAME: Final = re.compile(
    r"amount|price|total|sum|quantity|budget|limit|payment|usd|eur|cost|fee|share|balance", re.IGNORECASE
)
_COMMAND_NAME: Final = re.compile(r"command|cmd|shell|script|sql|query|code|patch|regex|expression", re.IGNORECASE)
_HOST_NAME: Final = re.compile(
    r"ur[li]|host|domain|site|link|address|server|endpoint|hook|remote|registry", re.IGNORECASE
)
_PROSE_NAME: Final = re.compile(
    r"content|body|text|title|subject|summary|description|quote|message|note|comment|reason|markdown|heading|caption|label",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join(sorted(kind.upper() for kind in KINDS))})_\d+\]")
_NAMES: Final = {
    "url": "address",
    "email": "address",
    "phone": "phone number",
    "iban": "account number",
    "credit_card": "card number",
    "ip": "address",
    "mac": "address",
    "ssn": "number",
}


@dataclass(frozen=True)
class _Read:
    """What an agent has read from one source, in the readings in which something may be found again."""

    source: str
    text: str = field(repr=False)
    orders: tuple[Finding, ...]


def flags_for(proposal_args: Mapping[str, Any], *, goal: str, untrusted: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """One sentence for each thing to beware of in a proposal; `untrusted` is what was read: (source, text)."""
    read = [_Read(source, _readings(text), find_orders(text)) for source, text in untrusted]
    wish = _readings(goal)
    told: dict[str, None] = {}
    for sentence in (*_orders_read(read), *_arguments(proposal_args, wish, read)):
        told.setdefault(sentence)
    flags = list(told)
    return tuple(flags[:MOST] + ([f"{len(flags) - MOST} more warnings are not shown."] if len(flags) > MOST else []))


def _orders_read(read: Sequence[_Read]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for one in read:
        for order in one.orders[:2]:
            if (one.source, order.excerpt) not in seen:
                seen.add((one.source, order.excerpt))
                hidden = f" ({order.why})" if "hidden" in order.why else ""
                yield f"{one.source} contains text that reads like an order{hidden}: “{order.excerpt}”"


def _arguments(args: Mapping[str, Any], wish: str, read: Sequence[_Read]) -> Iterator[str]:
    for name, value in _leaves(args, ""):
        if isinstance(value, str):
            yield from _text_flags(name, value, wish, read)
        elif _AMOUNT_NAME.search(name) and abs(value) >= 10:
            yield from _origin("amount", name, _spellings(value), wish, read, whole_words=True)


def _text_flags(name: str, value: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    if REDACTED in value:
        yield f"“{name}” holds {REDACTED}: a secret was taken out before the model saw it."
    elif (placeholder := _PLACEHOLDER.search(value)) is not None and placeholder[0] not in wish:
        yield f"“{name}” holds the placeholder {placeholder[0]} instead of a value."
    yield from _own_orders(name, value, read)
    if len(value) > _FIELD or value.count("\n") > 2:
        yield from _work_flags(name, value, wish, read)
        return
    found = list(_atoms(value))
    for what, atom in found:
        yield from (
            _origin(what, name, _variants(atom), wish, read) if "://" not in atom else _url(name, atom, wish, read)
        )
    if _HOST_NAME.search(name) and (host := _HOST.fullmatch(value.strip())) is not None:
        found.append(("address", host[0]))
        yield from _origin("address", name, [host[0]], wish, read)
    if not found and (what := _kind_of_text(name, value)):
        yield from _origin(what, name, [value.strip()], wish, read)


def _own_orders(name: str, value: str, read: Sequence[_Read]) -> Iterator[str]:
    """Orders in it that are not told of already as those of a source."""
    known = {order.excerpt for one in read for order in one.orders}
    for order in find_orders(value)[:2]:
        if not any(order.excerpt in excerpt or excerpt in order.excerpt for excerpt in known):
            yield f"“{name}” contains text that reads like an order: “{order.excerpt}”"


def _work_flags(name: str, value: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    """A long text quotes what was read, which is its purpose; not flagged but for what an order names."""
    for one in read:
        named = _readings(" ".join(order.excerpt for order in one.orders))
        for what, atom in _atoms(named) if named else ():
            if atom in _readings(value) and atom not in wish:
                yield f"The {what} {atom} in “{name}” comes from an order in {one.source}, not from the goal."


def _atoms(value: str) -> Iterator[tuple[str, str]]:
    """What in a short text decides where something goes: addresses, numbers of accounts, paths, sums."""
    rest = value
    for found in _URL.finditer(value):
        yield "address", found[0].rstrip(".,;:!?)")
        rest = rest.replace(found[0], " ")
    for span in find_private(rest, KINDS - {"mac", "ssn"}):
        yield _NAMES[span.kind], rest[span.start : span.end]
    rest = re.sub(r"\S+@\S+", " ", rest)
    for pattern, what in ((_COIN, "account number"), (_PATH, "path"), (_MONEY, "amount")):
        for found in pattern.finditer(rest):
            yield what, found[0].strip()
    for found in _HOST.finditer(_PATH.sub(" ", rest)) if "/" in rest else ():
        if "/" in found[0]:
            yield "address", found[0].rstrip(".,;:!?)")


def _url(name: str, url: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    """The warning for a URL: what it carries may be anything, so its host tells, unless that stands in the goal."""
    host = url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
    told = list(_origin("address", name, [url], wish, read))
    if not told and host and not _stands(_readings(url), wish, False):
        told = list(_origin(f"host {host} of the address", name, [host], wish, read))
    yield from told


def _variants(atom: str) -> list[str]:
    """A number is the same with and without its spaces."""
    close = re.sub(r"[ -]", "", atom)
    if "@" in atom or not any(mark.isdigit() for mark in close) or len(close) < 8:
        return [atom]
    return [atom, close, " ".join(close[at : at + 4] for at in range(0, len(close), 4))]


def _kind_of_text(name: str, value: str) -> str:
    """What a short text is whose very words decide something; empty if it is prose."""
    value = value.strip()
    if len(value) < 8:
        return ""
    if _COMMAND_NAME.search(name) or (_COMMAND.search(value) and not _PROSE_NAME.search(name)):
        return "command"
    is_code = not re.search(r"\s", value) and len(value) >= 12 and re.search(r"\d", value) and "/" not in value
    if is_code and re.search(r"[A-Za-z]", value):
        return "value"
    return "text" if len(value) >= 40 and not _PROSE_NAME.search(name) else ""


def _origin(
    what: str, name: str, spellings: Sequence[str], wish: str, read: Sequence[_Read], *, whole_words: bool = False
) -> Iterator[str]:
    """The warning that this stands in what was read and not in the goal."""
    sought = [_readings(spelling) for spelling in spellings]
    if any(_stands(one, wish, whole_words) for one in sought):
        return
    sources = list(dict.fromkeys(r.source for r in read if any(_stands(one, r.text, whole_words) for one in sought)))
    if sources:
        more = len(sources) - 1
        others = f" and {more} other source{'s' * (more > 1)}" if more else ""
        yield f"The {what} in “{name}” appears only in {sources[0]}{others}, not in the goal."


def _stands(sought: str, text: str, whole_words: bool) -> bool:
    """Whether it stands in the text, and not as a part of something longer, such as another address or sum."""
    ends = _NUMBER_END if whole_words else _URL_END if "://" in sought else _END
    place = text.find(sought) if sought else -1
    while place >= 0:
        before = text[place - 1] if place else " "
        if not (before.isalnum() or before in "-_@") and ends.match(text, place + len(sought)):
            return True
        place = text.find(sought, place + 1)
    return False


_END: Final = re.compile(r"(?![\w@-])")
_URL_END: Final = re.compile(r"(?![\w@-]|[/.?#=&]\w)")
_NUMBER_END: Final = re.compile(r"(?![\w@-]|[.,]\d)")


def _readings(text: str) -> str:
    """The text as it is compared: plain, in small letters, with what is hidden in it and addresses put together."""
    plain = " ".join((text, *(piece.text for piece in hidden_pieces(text) if piece.how.startswith("in "))))
    plain = plain_text(plain) if not plain.isascii() else plain
    plain = plain.casefold()
    if "at" in plain or "hxxp" in plain:
        plain = _AT.sub("@", _DOT.sub(".", plain)).replace("hxxp", "http")
    return plain


_AT: Final = re.compile(r"\s*[\[({]\s*at\s*[\])}]\s*")
_DOT: Final = re.compile(r"\s*[\[({]\s*(?:dot|\.)\s*[\])}]\s*")


def _spellings(value: float) -> list[str]:
    """A number as documents write it."""
    if not isfinite(value):
        return []
    if value != int(value):
        return [f"{value}", f"{value:.2f}", f"{value:,.2f}", f"{value:.2f}".replace(".", ",")]
    grouped = f"{int(value):,}"
    return [str(int(value)), grouped, *(grouped.replace(",", mark) for mark in (".", " ", "'", "\u202f"))]


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Texts and numbers of a JSON value, with where they are: `to`, `mail.to`, `to[1]`."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield name or "value", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{place}]")
