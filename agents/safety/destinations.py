"""Where the arguments of a proposal lead: every address in them, and letters in them that look like others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from html import unescape
from typing import Any, Final

from signoff.agents.safety.hidden_text import LOOK_ALIKES
from signoff.agents.safety.pii import find_private
from signoff.agents.safety.text_patterns import pattern
from signoff.wording import make_visible, place_of, quoted

FIELD: Final = 300
"""Longer texts, and those of several lines, are works: in them only addresses are looked at."""
_pattern: Final = partial(pattern, "destinations")
_EAST: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"})
"""Scripts that are written together with Latin letters, and that hold none which look like them."""
_BEHIND: Final = ("inline", "reference", "autolink", "attribute", "style")
"""Ways to write an address so that a reader is shown something else."""
_ENTITY: Final = re.compile(r"&#?\w{1,32};")
_SHOWN: Final = 4
"""Letters of one word that are named."""


def is_work(text: str) -> bool:
    """Whether a text is too long for each of its words to decide something."""
    return len(text) > FIELD or text.count("\n") > 2


def leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Texts and numbers of a JSON value, with where they are: `to`, `mail.to`, `to, item 2`."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield place_of(place) or "value", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*place, at))


def addresses_of(args: Mapping[str, Any]) -> tuple[str, ...]:
    """Every address in the arguments, in order, each once."""
    texts = (value for _, value in leaves(args) if isinstance(value, str))
    return tuple(dict.fromkeys(address for text in texts for address in addresses_in(text)))


def addresses_in(text: str) -> tuple[str, ...]:
    """Every address in a text: bare, or as Markdown or HTML has it, where it may be hidden behind other words."""
    return _found(text, ("url", *_BEHIND), mails=True)


def links_of(work: str) -> tuple[str, ...]:
    """The addresses in a long text but for those that stand bare in what it quotes."""
    own = "\n".join(line for line in work.split("\n") if not line.startswith(">"))
    return tuple(dict.fromkeys((*addresses_in(own), *_found(work, _BEHIND))))


def _found(text: str, ways: tuple[str, ...], *, mails: bool = False) -> tuple[str, ...]:
    found: list[tuple[int, str]] = []
    plain = _ENTITY.sub(lambda entity: unescape(entity[0]), text)
    for one in {text, plain}:
        for span in find_private(one, frozenset({"email"})) if mails else ():
            found.append((span.start, one[span.start : span.end]))
        for name in ways:
            found += [(at.start(), next(filter(None, at.groups()), "")) for at in _pattern(name).finditer(one)]
    addresses = (one for _, address in sorted(found) for one in _readings(address))
    return tuple(dict.fromkeys(one for one in addresses if one and not one.startswith("#")))


def _readings(address: str) -> Iterator[str]:
    """The address as a reader of Markdown follows it; and as it stands, if a browser would be led elsewhere by that."""
    plain = unescape(address)
    unescaped = _trimmed(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain))
    yield unescaped
    if host_of(as_it_stands := _trimmed(plain)) != host_of(unescaped):
        yield as_it_stands


def _trimmed(address: str) -> str:
    """The address without what only ends its sentence."""
    address = address.strip().rstrip(".,;:!?'*_")
    while address.endswith(")") and address.count(")") > address.count("("):
        address = address[:-1].rstrip(".,;:!?'*_")
    return address


def host_of(address: str) -> str:
    """The host that an address leads to, or a mail address's; empty if it names none."""
    rest = re.sub(r"^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}|^mailto:", "", address, flags=re.IGNORECASE)
    if rest == address and "@" not in address and not address.lower().startswith("www."):
        return ""
    authority = re.split(r"[/\\?#]", rest, maxsplit=1)[0]
    return re.sub(r":\d*$", "", authority.rpartition("@")[2]).strip(".").casefold()


def look_alikes(args: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each name, address or path whose letters may be taken for others."""
    seen: set[str] = set()
    for name, value in leaves(args):
        if not isinstance(value, str):
            continue
        told: list[str] = []
        for word, why in _in_addresses(value) if is_work(value) else (*_in_addresses(value), *_in_words(value)):
            said = f"{quoted(word)} in {quoted(name)} {why}"
            if said not in seen and not any(word in longer and word != longer for longer in told):
                seen.add(said)
                told.append(word)
                yield said


def taken_for(text: str, goal: str) -> Iterator[tuple[str, str]]:
    """Words of a short text that look like another word of the goal, and that one."""
    known = _words(goal)
    meant = {skeleton(word): word for word in known}
    for word in _words(text):
        other = meant.get(skeleton(word), word)
        if other != word and word not in known and not word.isdigit() and len(word) > 3:
            yield word, other


def skeleton(text: str) -> str:
    """What two texts have in common that look alike."""
    plain = unicodedata.normalize("NFKD", text).translate(LOOK_ALIKES).casefold()
    plain = "".join(mark for mark in plain if unicodedata.category(mark) not in ("Mn", "Cf"))
    return plain.translate(str.maketrans("01i|", "olll")).replace("rn", "m").replace("vv", "w")


def _words(text: str) -> frozenset[str]:
    """Words in small letters, and the parts of addresses."""
    whole = [word.strip(".,;:!?()<>\"'“”‘’[]{}") for word in text.casefold().split()]
    parts = [part for word in whole for part in re.split(r"[@/:?#\\]+", word) if part != word]
    return frozenset(filter(None, (*whole, *parts)))


def _in_addresses(text: str) -> Iterator[tuple[str, str]]:
    """What is odd in the addresses of a text."""
    for address in addresses_in(text):
        host = host_of(address)
        before = re.match(r"[^/\\]*[/\\]{2,}([^/?#]*)@", address)
        if host and before is not None:
            yield address, f"leads to {quoted(host)}, whatever stands before the “@”."
        for label in re.split(r"[.\u3002\uff0e\uff61\u2024]", host):
            if label.startswith("xn--"):
                with suppress(UnicodeError):
                    yield address, f"has a host that stands for {quoted(label[4:].encode('ascii').decode('punycode'))}."
        if (odd := [mark for mark in host if not mark.isascii()]) or (odd := _odd_letters(address, strict=True)):
            yield address, _holds(odd)


def _in_words(text: str) -> Iterator[tuple[str, str]]:
    """Words of a short text in which letters of two scripts stand together, or which only look like Latin ones."""
    strict = not re.search(r"\s", text.strip())
    if strict and any(map(str.isalpha, text)) and (signs := [mark for mark in text if mark in _LIKE_SIGNS]):
        yield text, _holds(signs)
    for found in _pattern("word").finditer(text):
        if odd := _odd_letters(found[0], strict=strict):
            yield found[0], _holds(odd)
    others = [found[0] for found in _pattern("word").finditer(text) if not found[0].isascii()]
    if others and (strict or re.search("[A-Za-z]", text)) and all(map(_is_disguised, others)):
        for word in others:
            yield word, _holds(list(word))


def _odd_letters(word: str, *, strict: bool) -> list[str]:
    """The letters of a word that look like others; `strict`: in a name, an address or a path."""
    if word.isascii():
        return []
    is_latin = any(_script(mark) == "LATIN" for mark in word)
    return [mark for mark in word if not mark.isascii() and _is_odd(mark, among_latin=is_latin, strict=strict)]


def _is_odd(mark: str, *, among_latin: bool, strict: bool) -> bool:
    plain = unicodedata.normalize("NFKC", mark)
    script = _script(plain[0])
    if plain != mark and len(plain) == 1 and plain.isascii() and unicodedata.category(mark) not in ("No", "Zs"):
        return strict or among_latin
    if not mark.isalpha():
        return False
    if script == "LATIN":
        return strict and ord(mark) in LOOK_ALIKES
    return among_latin and script not in _EAST and (strict or script != "GREEK" or ord(mark) in LOOK_ALIKES)


_LIKE_SIGNS: Final = (
    "\u2044\u2215\u29f8\u2571\u2024\u2027\u00b7\u2010\u2011\u2012\u2013\u2212\ua789\u02d0\u2236\u0589\u05c3"
)
"""Signs that look like those which divide a path, a host or an address."""


def _is_disguised(word: str) -> bool:
    """Whether every letter of a word of another script looks like a Latin one."""
    letters = [mark for mark in word if mark.isalpha()]
    return len(letters) > 1 and all(ord(mark) in LOOK_ALIKES and _script(mark) != "LATIN" for mark in letters)


def _script(mark: str) -> str:
    return unicodedata.name(mark, "").split(" ")[0] if mark.isalpha() else ""


def _holds(marks: list[str]) -> str:
    names = [f"{make_visible(one)} is U+{ord(one):04X} {unicodedata.name(one, '')}" for one in dict.fromkeys(marks)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"holds signs that may be taken for others: {', '.join(names[:_SHOWN])}{more}."
