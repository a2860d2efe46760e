"""Where a proposal comes from: what in it a person should be warned of, because it came from outside.

An address that stands in the goal is somebody's wish; one that stands only in a document is the document's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import isfinite
from typing import Any, Final

from signoff.agents.safety.destinations import host_of, is_work, leaves, links_of, look_alikes, taken_for
from signoff.agents.safety.hidden_text import hidden_pieces, plain_text
from signoff.agents.safety.injection import Finding, find_orders
from signoff.agents.safety.pii import KINDS, PLACEHOLDER, find_private
from signoff.agents.safety.text_patterns import pattern
from signoff.checkpoints import REDACTED
from signoff.wording import one_line, quoted

MOST: Final = 8
"""Warnings on one proposal; more are counted."""

_NAMES: Final = {"phone": "phone number", "iban": "account number", "credit_card": "card number"}
"""What private data is called where that is no address."""
_pattern: Final = partial(pattern, "provenance")


@dataclass(frozen=True)
class _Read:
    """What an agent has read from one source, in the readings in which something may be found again."""

    source: str
    text: str = field(repr=False)
    orders: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where what is proposed may come from: the goal, and what was read; looked at once for all proposals of a step."""

    goal: str
    untrusted: Sequence[tuple[str, str]]
    """What was read: (source, text)."""
    works: Sequence[tuple[str, str]] = ()
    """What was read too, of which only links in long texts are held against a proposal."""
    cited: Collection[str] = ()
    """Addresses that long texts may name."""

    def flags(self, args: Mapping[str, Any]) -> tuple[str, ...]:
        """One sentence for each thing to beware of in a proposal with these arguments."""
        orders = list(self._orders)
        told = "\n".join(own := [*look_alikes(args), *_arguments(args, self.goal, self._wish, self._read)])
        own += _links(args, self._wish, self._linked, lambda link: link in self.cited or link in told)
        own = list(dict.fromkeys(own))
        # No number of orders keeps from being shown what is odd about the proposal itself.
        flags = [*orders[: max(2, MOST - len(own))], *own][:MOST]
        more = len(orders) + len(own) - len(flags)
        return (*flags, *([f"{more} more warnings are not shown."] if more else []))

    @cached_property
    def _wish(self) -> str:
        return _readings(self.goal)

    @cached_property
    def _read(self) -> list[_Read]:
        return [_Read(source, _readings(text), find_orders(text)) for source, text in self.untrusted]

    @cached_property
    def _orders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_orders_read(self._read)))

    @cached_property
    def _linked(self) -> list[_Read]:
        return [*self._read, *(_Read(source, _readings(text), ()) for source, text in self.works)]


def _orders_read(read: Sequence[_Read]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for one in read:
        for order in one.orders[:2]:
            if (one.source, order.excerpt) not in seen:
                seen.add((one.source, order.excerpt))
                hidden = f" ({order.why})" if "hidden" in order.why else ""
                yield f"{one_line(one.source)} contains text that reads like an order{hidden}: {quoted(order.excerpt)}"


def _arguments(args: Mapping[str, Any], goal: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    for name, value in leaves(args):
        if isinstance(value, str):
            for word, other in taken_for(value, goal) if not is_work(value) else ():
                yield f"{quoted(word)} in {quoted(name)} looks like {quoted(other)} of the goal, and is another."
            yield from _text_flags(name, value, wish, read)
        elif _pattern("amount_name").search(name) and abs(value) >= 10:
            yield from _origin("amount", name, _spellings(value), wish, read, whole_words=True)


def _text_flags(name: str, value: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    if REDACTED in value:
        yield f"{quoted(name)} holds {REDACTED}: a secret was taken out before the model saw it."
    elif (placeholder := PLACEHOLDER.search(value)) is not None and placeholder[0] not in wish:
        yield f"{quoted(name)} holds the placeholder {placeholder[0]} instead of a value."
    yield from _own_orders(name, value, read)
    if is_work(value):
        yield from _work_flags(name, value, wish, read)
        return
    found = list(_atoms(value))
    for what, atom in found:
        yield from (
            _origin(what, name, _variants(atom), wish, read) if "://" not in atom else _url(name, atom, wish, read)
        )
    if _pattern("host_name").search(name) and (host := _pattern("host").fullmatch(value.strip())) is not None:
        found.append(("address", host[0]))
        yield from _origin("address", name, [host[0]], wish, read)
    if not found and (what := _kind_of_text(name, value)):
        yield from _origin(what, name, [value.strip()], wish, read)


def _own_orders(name: str, value: str, read: Sequence[_Read]) -> Iterator[str]:
    """Orders in it that are not told of already as those of a source."""
    known = {order.excerpt for one in read for order in one.orders}
    for order in find_orders(value)[:2]:
        if not any(order.excerpt in excerpt or excerpt in order.excerpt for excerpt in known):
            yield f"{quoted(name)} contains text that reads like an order: {quoted(order.excerpt)}"


def _work_flags(name: str, value: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    """A long text quotes what was read, which is its purpose; not flagged but for what an order names."""
    for one in read:
        named = _readings(" ".join(order.excerpt for order in one.orders))
        for what, atom in _atoms(named) if named else ():
            if atom in _readings(value) and atom not in wish:
                where = f"comes from an order in {one_line(one.source)}, not from the goal."
                yield f"The {what} {one_line(atom)} in {quoted(name)} {where}"


def _links(args: Mapping[str, Any], wish: str, read: Sequence[_Read], is_known: Callable[[str], bool]) -> Iterator[str]:
    """One warning for each source that names what a long text links to, and the goal does not."""
    for name, value in leaves(args):
        if not (isinstance(value, str) and is_work(value)):
            continue
        named: dict[str, list[str]] = {}
        for address in links_of(value):
            is_mail = "@" in address and "//" not in address
            sought = _readings(address.partition("?")[0].rpartition(":")[2] if is_mail else host_of(address))
            if sought and not is_known(address) and not _stands(sought, wish, False):
                source = next((one.source for one in read if _stands(sought, one.text, False)), "")
                named.setdefault(source, []).append(address)
        for source, addresses in named.items():
            if source:
                told = ", ".join(map(one_line, addresses))
                yield f"{quoted(name)} leads where only {one_line(source)} says, and not the goal: {told}"


def _atoms(value: str) -> Iterator[tuple[str, str]]:
    """What in a short text decides where something goes: addresses, numbers of accounts, paths, sums."""
    rest = value
    for found in _pattern("url").finditer(value):
        yield "address", found[0].rstrip(".,;:!?)")
        rest = rest.replace(found[0], " ")
    for span in find_private(rest, KINDS - {"mac", "ssn"}):
        yield _NAMES.get(span.kind, "address"), rest[span.start : span.end]
    rest = re.sub(r"\S+@\S+", " ", rest)
    for name, what in (("coin", "account number"), ("path", "path"), ("money", "amount")):
        for found in _pattern(name).finditer(rest):
            yield what, found[0].strip()
    for found in _pattern("host").finditer(_pattern("path").sub(" ", rest)) if "/" in rest else ():
        if "/" in found[0]:
            yield "address", found[0].rstrip(".,;:!?)")


def _url(name: str, url: str, wish: str, read: Sequence[_Read]) -> Iterator[str]:
    """The warning for a URL: what it carries may be anything, so its host tells, unless that stands in the goal."""
    host = host_of(url)
    told = list(_origin("address", name, [url], wish, read))
    if not told and host and not _stands(_readings(url), wish, False):
        told = list(_origin(f"host {one_line(host)} of the address", name, [host], wish, read))
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
    is_prose = _pattern("prose_name").search(name) is not None
    if _pattern("command_name").search(name) or (_pattern("command").search(value) and not is_prose):
        return "command"
    is_code = not re.search(r"\s", value) and len(value) >= 12 and re.search(r"\d", value) and "/" not in value
    if is_code and re.search(r"[A-Za-z]", value):
        return "value"
    return "text" if len(value) >= 40 and not is_prose else ""


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
        yield f"The {what} in {quoted(name)} appears only in {one_line(sources[0])}{others}, not in the goal."


def _stands(sought: str, text: str, whole_words: bool) -> bool:
    """Whether it stands in the text, and not as a part of something longer, such as another address or sum."""
    ends = _pattern("end_of_number" if whole_words else "end_of_url" if "://" in sought else "end")
    place = text.find(sought) if sought else -1
    while place >= 0:
        before = text[place - 1] if place else " "
        if not (before.isalnum() or before in "-_@") and ends.match(text, place + len(sought)):
            return True
        place = text.find(sought, place + 1)
    return False


def _readings(text: str) -> str:
    """The text as it is compared: plain, in small letters, with what is hidden in it and addresses put together."""
    plain = " ".join((text, *(piece.text for piece in hidden_pieces(text) if piece.how.startswith("in "))))
    plain = plain_text(plain) if not plain.isascii() else plain
    plain = plain.casefold()
    if "at" in plain or "hxxp" in plain:
        plain = _pattern("at").sub("@", _pattern("dot").sub(".", plain)).replace("hxxp", "http")
    return plain


def _spellings(value: float) -> list[str]:
    """A number as documents write it."""
    if not isfinite(value):
        return []
    if value != int(value):
        return [f"{value}", f"{value:.2f}", f"{value:,.2f}", f"{value:.2f}".replace(".", ",")]
    grouped = f"{int(value):,}"
    return [str(int(value)), grouped, *(grouped.replace(",", mark) for mark in (".", " ", "'", "\u202f"))]
