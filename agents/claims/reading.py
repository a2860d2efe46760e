"""A sentence taken apart into what can be compared: words, figures, names, denials, and how strongly it asks."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

_KNOWN: Final = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_SETS: Final = {
    name: frozenset(_KNOWN[name].split())
    for name in ("empty", "roles", "be", "asking", "negated", "pronouns", "german", "others")
}
_SETS["english"], _SETS["empty"] = _SETS["empty"], _SETS["empty"] | _SETS["german"]
_PAIRS: Final = {
    name: [tuple(pair.split(":")) for pair in _KNOWN[name].split()]
    for name in ("irregular", "plurals", "opposites", "apart", "spelt", "units")
}
_IRREGULAR: Final = dict(_PAIRS["irregular"])
_SPELT: Final = {word: int(number) for word, number in _PAIRS["spelt"]}
_SPELT.update(
    {
        f"{'ein' if one == 1 else word}und{tens}": one + ten
        for word, one in [*_SPELT.items()]
        if 0 < one < 10
        for tens, ten in [*_SPELT.items()]
        if 19 < ten < 100
    }
)
_UNITS: Final = {name: (kind, float(factor)) for kind, factor, names in _PAIRS["units"] for name in names.split(",")}
_ENDINGS: Final = _KNOWN["endings"].split()
DENYING: Final[list[str]] = _KNOWN["denying"].split()
"""What turns a word round that it stands before: 'unencrypted'."""
_PHRASES: Final = [(re.compile(pattern, re.IGNORECASE), put) for pattern, put in _KNOWN["phrases"]]
_CLAUSE: Final = re.compile(_KNOWN["clause"], re.IGNORECASE)
_DATES: Final = [re.compile(pattern) for pattern in _KNOWN["dates"]]
_NUMBER: Final = re.compile(_KNOWN["number"].replace("SPELT", "|".join(_SPELT)), re.IGNORECASE)
_SINGLE: Final = re.compile(
    rf"\b({_KNOWN['single']}) an? ((?:{'|'.join(word for word in _UNITS if len(word) > 2)})\b)", re.IGNORECASE
)
"""An article that counts: 'for an hour'."""
_CODE, _TOKEN = re.compile(_KNOWN["code"]), re.compile(_KNOWN["token"])
_MONTHS: Final = "jan feb mar apr may jun jul aug sep oct nov dec mär mai okt dez".split()
_TYPOGRAPHY: Final = str.maketrans("’‘“”\x00\x01¬←⌀¶", "''\"\"      ")
"""Quotation marks made alike, and no mark of the phrases left."""
END: Final = "."
"""Where a clause begins or ends, in its line."""
EITHER: Final = 2
"""Of a word that has an opposite: both of the two are said."""


@dataclass(frozen=True)
class Figure:
    """A number, an amount or a date."""

    value: str | float | tuple[int, int, int]
    """As written; of what can be measured, the number of base units; of a date year, month and day, 0 if unsaid."""
    kind: str
    """The base unit, 'date', or the stem of what is counted; empty for a bare number."""
    shown: str
    written: str
    """The number alone, in digits."""
    is_spelt: bool = False

    @property
    def token(self) -> str:
        """What stands for it in the line of a clause."""
        return f"#{self.value} {self.kind}"

    def is_borne_out(self, by: Figure) -> bool:
        """Whether another says the same, or says it more precisely."""
        if isinstance(self.value, tuple) and isinstance(by.value, tuple):
            return all(part in (0, told) for part, told in zip(self.value, by.value, strict=True))
        if isinstance(self.value, float) and isinstance(by.value, float):
            return self.kind == by.kind and abs(self.value - by.value) <= 1e-6 * abs(by.value)
        return self.written == by.written


@dataclass(frozen=True)
class Clause:
    """A part of a sentence that says one thing."""

    said: str
    """The whole sentence."""
    words: tuple[str, ...]
    """Stems of what carries meaning, in order; of words that have an opposite, of the first of the two."""
    shown: dict[str, str]
    """How each is written."""
    figures: tuple[Figure, ...]
    names: frozenset[str]
    opposed: dict[str, int]
    """Which of two opposites is said: 0, 1 or EITHER."""
    denied: bool
    undone: frozenset[str]
    """The words that are denied."""
    modal: str
    """'must', 'should' or 'may', or more than one of these; empty if none is said."""
    asked: str
    """What must, should or may be done; empty where all of it must, should or may be."""
    forbids: bool
    """Denied as a whole, not only in a part: 'not', never 'without'."""
    is_condition: bool
    lead: dict[str, str]
    """The preposition before a word; 'be' before what is done to somebody."""
    verbs: frozenset[str]
    """Words of the line that say what is done, or what something is."""
    line: tuple[str, ...]
    """The words, figures, prepositions and pronouns in order, between two `END`; no denial and nothing that asks."""


@lru_cache(maxsize=4096)
def read(sentence: str) -> tuple[Clause, ...]:
    """The clauses of a sentence."""
    figures: list[Figure] = []
    code: list[str] = []

    def keep(found: re.Match[str]) -> str:
        code.append(found[0])
        return f"\x01{chr(0xE000 + len(code) - 1)}"

    def take(found: re.Match[str]) -> str:
        figure = _figure(found)
        if figure is None:
            return found[0]
        figures.append(figure)
        return f" \x00{len(figures) - 1} " + ("" if figure.kind else found["unit"] or "")

    text = re.sub(r" ?°\s?[CFK]?\b", " degrees", sentence.translate(_TYPOGRAPHY).replace("**", ""))
    text = _CODE.sub(keep, text)
    text = re.sub(r"\b(mid|early|late|pre|post)-(?=\d)", r"\1 ", text)
    text = _SINGLE.sub(r"\1 one \2", text)
    for pattern in (*_DATES, _NUMBER):
        text = pattern.sub(take, text)
    for pattern, put in _PHRASES:
        text = pattern.sub(put, text)
    whole = [re.sub("\x01.", lambda found: code[ord(found[0][1]) - 0xE000], part) for part in _CLAUSE.split(text)]
    parts = [_read(part, sentence, figures, opens=not place) for place, part in enumerate(whole)]
    return tuple(clause for clause in parts if clause.words or clause.figures)


def _figure(found: re.Match[str]) -> Figure | None:
    parts = found.groupdict()
    if "money" not in parts:
        year, month, day = _date(found)
        return Figure((year, month, day), "date", found[0].strip(), found[0])
    written, unit = parts["number"].lower().replace(",", ""), (parts["money"] or parts["unit"] or "").strip()
    is_spelt = not written[0].isdigit()
    if is_spelt:
        first, second = (*(_SPELT[part] for part in re.split("[- ]", written)), 0)[:2]
        written = str(first * second if second > 99 else first + second)
    lower = unit.lower().replace(" ", "")
    known = unit_of(lower)
    if known and not re.search(r":|\..*\.", written) and not (unit.isupper() and len(unit) == 1 and unit.isalpha()):
        return Figure(round(float(written) * known[1], 5), known[0], found[0].strip(), written, is_spelt)
    counted = stem(lower) if lower and lower not in _SETS["empty"] | _SETS["asking"] else ""
    if is_spelt and written == "1" and not counted:
        return None  # 'one of them' counts nothing
    shown = found[0] if counted else found[0].removesuffix(parts["unit"] or "")
    return Figure(written, counted, shown.strip(" -"), written, is_spelt)


def unit_of(word: str) -> tuple[str, float] | None:
    """The base unit that a word is some of, and how many; None if it is no unit."""
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))


def _date(found: re.Match[str]) -> tuple[int, int, int]:
    parts = {name: value for name, value in found.groupdict().items() if value}
    month = int(parts.get("number", 0))
    if "month" in parts:
        place = _MONTHS.index(parts["month"][:3].lower())
        month = (*range(1, 13), 3, 5, 10, 12)[place]
    return int(parts.get("year", 0)), month, int(parts.get("day", 0))


def date_of(*texts: str) -> str:
    """The first date in the first of these texts that has one, as '2025-03-18' or '2025-03'; empty if none has."""
    for text in texts:
        for pattern in _DATES[:-1]:
            for found in pattern.finditer(text):
                year, month, day = _date(found)
                if year:
                    return f"{year}-{month:02}" + (f"-{day:02}" if day else "")
    return ""


def _read(part: str, said: str, figures: Sequence[Figure], *, opens: bool) -> Clause:
    words: list[str] = []
    shown: dict[str, str] = {}
    lead: dict[str, str] = {}
    opposed: dict[str, int] = {}
    names: set[str] = set()
    undone: set[str] = set()
    verbs: set[str] = set()
    held: list[Figure] = []
    modals: set[str] = set()
    line = [END, *("¶" if "¶" in part else "")]
    denials, before, asked, is_denying, is_asking, forbids = 0, "", "", False, False, False
    tokens = _TOKEN.findall(part)
    for place, token in enumerate(tokens):
        lower = token.lower().strip("`").rstrip(".'")
        if token[0] == "\x00":
            held.append(figures[int(token[1:])])
            line.append(held[-1].token)
            if (counted := held[-1].shown.split()[-1].lower()) and held[-1].kind == stem(counted):
                words.append(held[-1].kind)
                shown.setdefault(held[-1].kind, counted)
        elif token[0] == "°":
            modals.add(token[1:].rstrip("_"))
            is_asking = not token.endswith("_")
        elif token in "¬←⌀":
            denials, forbids = denials + 1, forbids or token != "⌀"
            is_denying = not (token == "←" and words) and not (token == "⌀" and is_denying)  # 'not without'
            undone.update(words[-1:] if token == "←" else ())
        elif lower in ("until", "except"):  # what is not done until then is done then
            modals = {"may"} if denials % 2 and modals == {"must"} else modals
            denials += denials % 2
        elif lower in _SETS["empty"] and not (token.isupper() and len(token) > 1):
            line += [lower] if lower in _SETS["roles"] | _SETS["pronouns"] else ()
            before = lower if lower in _SETS["roles"] else before or ("be" if lower in _SETS["be"] else "")
            is_denying = is_denying and (forbids or lower not in _SETS["be"])
        else:
            root, side = _opposites().get(stem(lower), (stem(lower), -1))
            if side >= 0:
                opposed[root] = side if opposed.get(root, side) == side else EITHER
            words.append(root)
            line.append(stem(lower))
            is_verb = before == "be" or is_asking or lower.endswith("ed") or lower in _IRREGULAR
            verbs.update((line[-1],) if is_verb else ())
            shown.setdefault(line[-1], token.strip("`"))
            shown.setdefault(root, token.strip("`"))
            lead.setdefault(root, before)
            if _is_name(token, opens and not place):
                names.add(root)
            undone.update((root,) if is_denying else ())
            asked = asked or (root if is_asking else "")
            before, is_denying, is_asking = "", False, False
    denied = denials % 2 == 1
    modals = {"must" if one == "may" and denied and forbids else one for one in modals}
    return Clause(
        *(said, tuple(words), shown, tuple(held), frozenset(names), opposed, denied, frozenset(undone)),
        *(" ".join(sorted(modals)), asked, denied and forbids, "¶" in part, lead, frozenset(verbs), (*line, END)),
    )


def _is_name(token: str, opens: bool) -> bool:
    bare = token.strip("`")
    has_marks = any(c.isupper() or c.isdigit() or c == "_" for c in bare[1:]) or token[0] in "`-"
    return has_marks or (bare[0].isupper() and not opens)


def is_negated(root: str) -> bool:
    """Whether of two opposites, known by the first, the second denies the first."""
    return root in map(stem, _SETS["negated"])


def language_of(text: str) -> str:
    """Of which language most of its function words are: 'english', 'german' or 'others', which is not read."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    told = {name: sum(word in _SETS[name] for word in words) for name in ("english", "german", "others")}
    most = max(told, key=lambda name: told[name])
    return most if told[most] or all(word.isascii() for word in words) else "others"


def says(word: str) -> bool:
    """Whether a word of a line says something by itself: no figure, preposition, pronoun or mark."""
    return word[:1].isalpha() and word not in _SETS["empty"] | _SETS["roles"] | _SETS["pronouns"]


def is_meant(word: str, other: str) -> bool:
    """Whether two words of lines are the same, or the second may stand for the first: 'it'."""
    return word == other != "" or (says(word) and other in ("it", "them", "they", "es"))


def mean_alike(one: str, other: str) -> bool:
    """Whether two stems are forms of one word, or words that are often put for each other."""
    shorter, longer = sorted((one, other), key=len)
    is_form = len(shorter) > 3 and longer.startswith(shorter[:-1]) and len(longer) <= len(shorter) + 3
    is_part = len(shorter) > 3 and longer.endswith(shorter)  # 'Frist', 'Kündigungsfrist'
    return is_form or is_part or any({one, other} <= group for group in _alike())


def are_opposite(one: str, other: str) -> bool:
    """Whether two stems are of words of which one sentence says one and another the other."""
    return (one, other) in _apart()


@cache
def _apart() -> frozenset[tuple[str, str]]:
    pairs = [[stem(word) for word in pair] for pair in (*_PAIRS["opposites"], *_PAIRS["apart"])]
    return frozenset(pair for one, other in pairs for pair in ((one, other), (other, one)))


@cache
def _alike() -> list[set[str]]:
    return [{stem(word) for word in line.split(",")} for line in _KNOWN["alike"].split()]


@cache
def _opposites() -> dict[str, tuple[str, int]]:
    return {stem(word): (stem(pair[0]), place) for pair in _PAIRS["opposites"] for place, word in enumerate(pair)}


@lru_cache(maxsize=1 << 15)
def stem(word: str) -> str:
    """What the forms of a word share; rather too many words alike than too few."""
    word = word.lower().removesuffix("'s")
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or not word.isalpha():
        return word
    if not word.endswith(("ss", "us", "is")):
        ending, put = next(((ending, put) for ending, put in _PAIRS["plurals"] if word.endswith(ending)), ("", ""))
        word = word.removesuffix(ending) + put
    for ending in _ENDINGS:
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= min(4, max(3, len(ending))) and re.search("[aeiouy]", rest):
            word = rest
            break
    word = word[:-1] if len(word) > 3 and word[-1] in "iy" else word
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word
