"""Values of the kinds that a table's columns have: written in one way, and compared."""

from __future__ import annotations

import re
import tomllib
from calendar import month_abbr, month_name
from functools import cache
from pathlib import Path
from typing import Final, Literal

Kind = Literal["text", "prose", "version", "licence", "number", "date", "link"]
"""text: a few words; prose: sentences, none of which contradicts another; version: one, or which ones are required;
number: an amount with its unit; link: an address."""

_MOST_WORDS: Final = 6
"""Of the name of a licence that is not known."""
_WORD: Final = re.compile(r"[^\W_]+")
_VERSION: Final = re.compile(
    r"(?P<sign>>=|<=|==|!=|~=|>|<|≥|≤|\^)?\s*v?(?P<number>\d+(?:\.\d+)*(?:\.\*)?(?:(?:a|b|rc|\.?dev|\.post)\d+)?)"
    r"(?P<up>\s*\+|(?:,)?\s+(?:and|or) (?:higher|above|newer|later|greater|up)\b)?",
    re.IGNORECASE,
)
_RANGE: Final = re.compile(r"v?(\d+(?:\.\d+)+)\s*(?:to|through|-|–|—)\s*v?(\d+(?:\.\d+)+)\b", re.IGNORECASE)
_LOWEST: Final = re.compile(r"\b(?:at least|minimum|from|since|newer than)\s*(?:version\s*)?$", re.IGNORECASE)
_SIGNS: Final = {">=": "≥", "<=": "≤", "==": "=", "~=": "~", "^": "~"}
_AMOUNT: Final = re.compile(r"\d+(?:[,' \u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_SCALES: Final = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9}
_WRITTEN: Final = {
    "$": "$ usd dollar dollars",
    "€": "€ eur euro euros",
    "£": "£ gbp pound pounds",
    "%": "% percent",
    "month": "month months monthly mo",
    "year": "year years yearly annum annually yr",
}
_UNITS: Final = {way: unit for unit, ways in _WRITTEN.items() for way in ways.split()}
_IDLE: Final = frozenset("a an the per each about around approximately roughly some over of from at only just".split())
_DENIALS: Final = frozenset("no not non never none without neither nor cannot t except only".split())
_MONTHS: Final = {
    name.lower(): number for names in (month_name, month_abbr) for number, name in enumerate(names) if name
}
_LINK: Final = re.compile(r"https?://[^\s<>()\"'\]]+[^\s<>()\"'\].,;:!?]")
_LONG: Final = 12
"""Words of a text from which it is prose."""
_ISO: Final = re.compile(r"\b(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?\b")
_SPELT: Final = re.compile(
    r"\b(?:(\d{1,2})(?:st|nd|rd|th)?\s+)?([A-Za-z]{3,9})\.?\s+(?:(\d{1,2})(?:st|nd|rd|th)?,?\s+)?(\d{4})\b"
)


def normal(value: str, kind: Kind) -> str:
    """The value as all of its kind are written; what is not understood stays as it is, on one line."""
    text = " ".join(value.split())
    if kind == "licence":
        return _licence(text)
    if kind == "version":
        return ", ".join(_bounds(text)) or text
    if kind == "date" and (found := _date(text)):
        return "-".join(f"{part:02}" for part in found if part)
    if kind == "link" and (link := _LINK.search(text)):
        return link[0]
    return text


def alike(one: str, other: str, kind: Kind) -> bool:
    """Whether two values say the same, or one of them says more of it."""
    if one == other or kind == "prose":
        return True
    if kind == "link":
        return _address(one) == _address(other)
    if kind == "licence":
        return _is_family(_licence(one), _licence(other))
    if kind == "version" and (bounds := _bounds(one)) and (others := _bounds(other)):
        return _lowest(bounds) == _lowest(others)
    if kind == "date" and (first := _date(one)) and (second := _date(other)):
        return all(mine == theirs for mine, theirs in zip(first, second, strict=True) if mine and theirs)
    if kind == "number" and (amount := _amount(one)) and (much := _amount(other)):
        return amount[0] == much[0] and (amount[1] == much[1] or not amount[1] or not much[1])
    words, more = _words(one), _words(other)
    return min(len(words), len(more)) > _LONG or _says_more(words, more) or _says_more(more, words)


def _address(link: str) -> str:
    return re.sub(r"^https?://(?:www\.)?|\.git$|/$", "", link.casefold())


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in ("the", "a", "an")]


def _says_more(more: list[str], less: list[str]) -> bool:
    """Whether the words stand together in more of them, and what is added denies nothing and counts nothing."""
    places = range(len(more) - len(less) + 1) if less else ()
    for at in places:
        added = more[:at] + more[at + len(less) :]
        if more[at : at + len(less)] == less:
            return not any(word in _DENIALS or any(map(str.isdigit, word)) for word in added)
    return False


@cache
def _spellings() -> tuple[frozenset[str], dict[str, str]]:
    read = tomllib.loads(Path(__file__).with_name("values.toml").read_text(encoding="utf-8"))
    idle = frozenset(read["idle"])
    known = {_bare(way, idle): name for name, ways in read["licences"].items() for way in (name, *ways)}
    return idle, known


def is_of_kind(text: str, kind: Kind) -> bool:
    """Whether it is a value of this kind: a licence that is known or named like one, a version, a number, a date."""
    if kind == "licence":
        is_named = len(_WORD.findall(text)) <= _MOST_WORDS and "icen" in text and "opyright" not in text
        return is_named or _licence(text) in _spellings()[1].values()
    if kind == "date":
        return _date(text) is not None
    needed = {"version": _VERSION, "number": _AMOUNT, "link": _LINK}.get(kind, _WORD)
    return needed.search(text) is not None


def _bare(text: str, idle: frozenset[str]) -> str:
    words = re.findall(r"[a-z]+|\d+(?:\.\d+)*\+?", text.casefold())
    words = [word.removesuffix(".0") for word in words]
    return "".join(word for word in words if word not in idle)


def _licence(text: str) -> str:
    idle, known = _spellings()
    text = text.rpartition("::")[2].strip() if "::" in text else text
    without = re.sub(r"\s*\([^)]*\)$", "", text)
    return known.get(_bare(text, idle)) or known.get(_bare(without, idle)) or text


def _is_family(one: str, other: str) -> bool:
    """Whether one names the family that the other is of: BSD and BSD-3-Clause."""
    short, long = sorted((one.casefold().split("-"), other.casefold().split("-")), key=len)
    return long[: len(short)] == short and short != ["mit"]


def _bounds(text: str) -> list[str]:
    """What is said of versions, as '≥ 3.10' or '3.10', in their order."""
    if span := _RANGE.match(text):
        return [f"≥ {span[1]}", f"≤ {span[2]}"]
    found, end = list[str](), None
    for match in _VERSION.finditer(text):
        if end is not None and text[end : match.start()].strip(" ,;"):
            break
        end = match.end()
        sign = _SIGNS.get(match["sign"] or "", match["sign"] or "")
        if match["up"] or _LOWEST.search(text[: match.start()]):
            sign = "≥"
        found.append(f"{sign} {match['number']}".strip())
    return found


def _lowest(bounds: list[str]) -> tuple[int, ...] | str:
    """The lowest version that is allowed, whether or not it says that later ones are too."""
    first = next((bound for bound in bounds if bound[0] in "≥>~="), bounds[0])
    number = re.sub(r"[^\d.].*", "", first.lstrip("≥>~= ")).strip(".")
    parts = [int(part) for part in number.split(".") if part]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts) if parts else first


def _amount(text: str) -> tuple[float, frozenset[str]] | None:
    """The first number with its scale, and the units beside it."""
    found = _AMOUNT.search(text)
    if found is None:
        return None
    number = float(re.sub(r"[,' \u202f]", "", found[0]))
    words = re.findall(r"[^\W\d_]+|[$€£%]", text[: found.start()].casefold())
    after = re.findall(r"[^\W\d_]+|[$€£%]", text[found.end() :].casefold())
    if after and after[0] in _SCALES:
        number *= _SCALES[after.pop(0)]
    units = {_UNITS.get(word, word.removesuffix("s")) for word in (*words, *after) if word not in _IDLE}
    return number, frozenset(units)


def _date(text: str) -> tuple[int, int, int] | None:
    """Year, month and day; 0 for what is not said."""
    if (spelt := _SPELT.search(text)) and (month := _MONTHS.get(spelt[2].lower())):
        return int(spelt[4]), month, int(spelt[1] or spelt[3] or 0)
    if iso := _ISO.search(text):
        return int(iso[1]), int(iso[2] or 0), int(iso[3] or 0)
    return None


def key_of(label: str) -> str:
    """The same for labels that differ in case, punctuation, or an s at the end."""
    words = [word.casefold() for word in _WORD.findall(label)]
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )
