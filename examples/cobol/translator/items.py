"""The DATA DIVISION: items with their pictures, where each lies in its record, and how Java declares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from examples.cobol.translator.cursor import Cursor
from examples.cobol.translator.source import Token, refuse

Category = Literal["group", "text", "number", "edited"]

FIGURATIVE: Final = {
    **dict.fromkeys(("ZERO", "ZEROS", "ZEROES"), "0"),
    **dict.fromkeys(("SPACE", "SPACES"), " "),
    **dict.fromkeys(("LOW-VALUE", "LOW-VALUES"), "\0"),
    **dict.fromkeys(("HIGH-VALUE", "HIGH-VALUES"), "\xff"),
    **dict.fromkeys(("QUOTE", "QUOTES"), '"'),
}
"""Figurative constants, each by the character that it is."""
_USAGES: Final = {
    "DISPLAY": "DISPLAY",
    **dict.fromkeys(("COMP", "COMPUTATIONAL", "COMP-4", "COMPUTATIONAL-4", "BINARY"), "BINARY"),
    **dict.fromkeys(("COMP-5", "COMPUTATIONAL-5"), "NATIVE"),
    **dict.fromkeys(("COMP-3", "COMPUTATIONAL-3", "PACKED-DECIMAL"), "PACKED"),
}
_NATIVE: Final = {"BINARY-CHAR": 2, "BINARY-SHORT": 4, "BINARY-LONG": 9, "BINARY-DOUBLE": 18, "INDEX": 9}
"""Usages that have no picture, and digits of one that takes as many bytes."""
_WIDEST: Final = 18
"""Digits of a number in the subset."""


@dataclass(eq=False)
class Item:
    """An entry of the DATA DIVISION."""

    level: int
    name: str
    """Empty: FILLER."""
    line: int
    picture: str = ""
    usage: str = ""
    value: tuple[Token, ...] = ()
    occurs: int = 1
    is_table: bool = False
    indexes: tuple[str, ...] = ()
    redefines: str = ""
    sign: str = ""
    """LEADING, LEADING_SEPARATE or TRAILING_SEPARATE."""
    right: bool = False
    blank: bool = False
    whole: bool = False
    """Whether a binary number takes what its bytes hold, not what its picture says."""
    conditions: list[Condition] = field(default_factory=list)
    children: list[Item] = field(default_factory=list)
    parent: Item | None = None
    offset: int = 0
    of_file: bool = False
    """Whether it is the record of a file, which nothing sets before it is read or written."""
    base: Item | None = None
    """The record whose memory a record redefines."""
    java: str = ""
    """Its name in Java."""

    @property
    def category(self) -> Category:
        if self.children:
            return "group"
        if re.fullmatch(r"[XA9]*[XA][XA9]*", self.picture):
            return "text"
        if self.blank:
            return "edited"
        return "number" if re.fullmatch("S?9*V?9*", self.picture) else "edited"

    @property
    def digits(self) -> int:
        return self.picture.count("9")

    @property
    def scale(self) -> int:
        """Digits behind the point."""
        return len(self.picture.partition("V")[2]) if "V" in self.picture else 0

    @property
    def signed(self) -> bool:
        return self.picture.startswith("S")

    @property
    def is_integer(self) -> bool:
        return self.category == "number" and not self.scale

    @cached_property
    def size(self) -> int:
        """Bytes of one occurrence."""
        if self.children:
            ends = [child.offset + child.size * child.occurs for child in self.children]
            return max(ends) - self.offset
        if self.category != "number":
            return len(self.picture)
        digits = self.digits
        if self.usage in ("BINARY", "NATIVE"):
            return 1 if digits < 3 else 2 if digits < 5 else 4 if digits < 10 else 8
        if self.usage == "PACKED":
            return digits // 2 + 1
        return digits + self.sign.endswith("SEPARATE")

    @property
    def above(self) -> Iterator[Item]:
        """The groups that it is in, the nearest first."""
        one = self.parent
        while one is not None:
            yield one
            one = one.parent

    @property
    def tables(self) -> list[Item]:
        """The tables that it is in or is, the outer first."""
        return [one for one in (*reversed(list(self.above)), self) if one.is_table]

    @property
    def all(self) -> Iterator[Item]:
        """It, and what is in it."""
        yield self
        for child in self.children:
            yield from child.all

    @property
    def is_redefining(self) -> bool:
        """Whether it lies in memory that another item names too."""
        return bool(self.redefines) or any(one.redefines for one in self.above)

    @property
    def is_over(self) -> bool:
        """Whether it is another view of memory that is set already."""
        return bool(self.redefines) or any(
            one.redefines or one.of_file or (one.value and one.children) for one in self.above
        )


@dataclass(frozen=True)
class Condition:
    """A condition-name of level 88."""

    name: str
    values: tuple[tuple[Token, Token | None], ...]
    """Each with the end of its range."""
    line: int


@dataclass(eq=False)
class File:
    """A file, from its SELECT and its FD."""

    name: str
    line: int
    path: str
    by_lines: bool
    status: str = ""
    optional: bool = False
    records: list[Item] = field(default_factory=list)


def read_items(cursor: Cursor) -> list[Item]:
    """The records of a section, up to the next section or division."""
    records, open_items = list[Item](), list[Item]()
    while cursor.token.is_number:
        line, level = cursor.line, _level(cursor)
        if level == 88:
            if not open_items:
                refuse("level 88 without an item", line)
            open_items[-1].conditions.append(_condition(cursor, line))
            continue
        item = _entry(cursor, level, line)
        if level in (1, 77):
            records.append(item)
            open_items = [item]
            continue
        while open_items and open_items[-1].level >= level:
            open_items.pop()
        if not open_items or open_items[-1].level == 77 or open_items[-1].picture:
            refuse(f"level {level:02} without a group", line)
        item.parent = open_items[-1]
        open_items[-1].children.append(item)
        open_items.append(item)
    for number, record in enumerate(records):
        _check(record)
        _lay_out(record, 0)
        if record.redefines:
            found = next((one for one in records[:number] if one.name == record.redefines), None)
            if found is None or found.redefines or record.size > found.size or found.is_table:
                refuse(f"REDEFINES {record.redefines} by a record", record.line)
            record.base = found
    return records


def _level(cursor: Cursor) -> int:
    token = cursor.next()
    if not token.text.isdigit() or int(token.text) not in (*range(1, 50), 77, 88):
        refuse(f"level {token.text}", token.line)
    return int(token.text)


def _entry(cursor: Cursor, level: int, line: int) -> Item:
    item = Item(level, "", line)
    if cursor.token.kind == "word" and not cursor.sees(*_CLAUSES):
        name = cursor.next().text
        item.name = "" if name == "FILLER" else name
    while not cursor.take("."):
        _clause(cursor, item)
    if item.usage in _NATIVE:
        if item.picture:
            refuse(f"{item.usage} with a PICTURE", line)
        item.picture, item.usage, item.whole = "S" + "9" * _NATIVE[item.usage], "NATIVE", True
    return item


def _clause(cursor: Cursor, item: Item) -> None:
    token = cursor.next()
    match token.text if token.kind == "word" else "":
        case "PIC" | "PICTURE":
            item.picture = _expanded(cursor.next())
        case "VALUE":
            cursor.take("IS")
            item.value = _value(cursor)
        case "OCCURS":
            _occurs(cursor, item)
        case "REDEFINES":
            item.redefines = cursor.word().text
        case "JUST" | "JUSTIFIED":
            cursor.take("RIGHT")
            item.right = True
        case "BLANK":
            cursor.take("WHEN")
            cursor.need("ZERO", "ZEROS", "ZEROES")
            item.blank = True
        case "SIGN" | "LEADING" | "TRAILING":
            _sign(cursor, item, token)
        case "USAGE":
            cursor.take("IS")
            _usage(cursor.next(), item)
        case "UNSIGNED" if item.usage in _NATIVE:
            refuse("UNSIGNED", token.line)
        case "SIGNED" if item.usage in _NATIVE:
            pass
        case _:
            _usage(token, item)


_CLAUSES: Final = (
    *("PIC", "PICTURE", "VALUE", "OCCURS", "REDEFINES", "JUST", "JUSTIFIED", "BLANK", "SIGN", "LEADING", "TRAILING"),
    *("USAGE", "SYNC", "SYNCHRONIZED", "GLOBAL", "EXTERNAL", "CONSTANT"),
    *_USAGES,
    *_NATIVE,
)


def _usage(token: Token, item: Item) -> None:
    if token.text in _USAGES and token.kind == "word":
        item.usage = _USAGES[token.text]
    elif token.text in _NATIVE and token.kind == "word":
        item.usage = token.text
    else:
        refuse(f"{token.text} in the description of an item", token.line)


def _sign(cursor: Cursor, item: Item, token: Token) -> None:
    if token.text == "SIGN":
        cursor.take("IS")
        token = cursor.need("LEADING", "TRAILING")
    separate = cursor.take("SEPARATE")
    cursor.take("CHARACTER")
    if separate:
        item.sign = f"{token.text}_SEPARATE"
    else:
        item.sign = "LEADING" if token.text == "LEADING" else ""


def _occurs(cursor: Cursor, item: Item) -> None:
    token = cursor.next()
    if not token.text.isdigit() or int(token.text) < 1:
        refuse(f"OCCURS {token.text}", token.line)
    item.occurs, item.is_table = int(token.text), True
    cursor.take("TIMES")
    if cursor.sees("TO", "DEPENDING"):
        refuse("OCCURS DEPENDING ON", token.line)
    while cursor.sees("ASCENDING", "DESCENDING"):
        cursor.next()
        cursor.take("KEY")
        cursor.take("IS")
        while cursor.token.kind == "word" and not cursor.sees("INDEXED", "ASCENDING", "DESCENDING", *_CLAUSES):
            cursor.next()
    if cursor.take("INDEXED"):
        cursor.take("BY")
        names = list[str]()
        while cursor.token.kind == "word" and not cursor.sees(*_CLAUSES):
            names.append(cursor.next().text)
        item.indexes = tuple(names)


def _value(cursor: Cursor) -> tuple[Token, ...]:
    token = cursor.next()
    if token.kind == "word" and token.text == "ALL":
        return (token, cursor.next())
    if token.kind not in ("text", "number") and token.text not in FIGURATIVE:
        refuse(f"VALUE {token.text}", token.line)
    return (token,)


def _condition(cursor: Cursor, line: int) -> Condition:
    name = cursor.word().text
    cursor.need("VALUE", "VALUES")
    cursor.take("IS", "ARE")
    values = list[tuple[Token, Token | None]]()
    while not cursor.take("."):
        first = cursor.next()
        if first.kind not in ("text", "number") and first.text not in FIGURATIVE:
            refuse(f"{first.text} in level 88", first.line)
        last = cursor.next() if cursor.take("THRU", "THROUGH") else None
        values.append((first, last))
    return Condition(name, tuple(values), line)


def _expanded(token: Token) -> str:
    """The picture with `9(3)` written out."""
    text = token.text.rstrip(",;")
    text = re.sub(r"(.)\((\d+)\)", lambda match: match[1] * int(match[2]), text)
    if not re.fullmatch(r"[SVXA9Z*+\-$.,B0/]+|[SVXA9Z*+\-$.,B0/]*(?:CR|DB)", text):
        refuse(f"PICTURE {token.text}", token.line)
    return text


def _check(record: Item) -> None:
    """Refuse what the subset has not."""
    for item in record.all:
        group_usage = next((one.usage for one in item.above if one.usage), "")
        if item.children:
            if item.picture or item.right or item.blank or item.sign:
                refuse("a group with a clause of its items", item.line)
            if item.usage not in ("", "DISPLAY"):
                refuse("USAGE of a group", item.line)
        elif not item.picture:
            refuse(f"an item without a PICTURE, {item.name or 'FILLER'}", item.line)
        elif group_usage not in ("", "DISPLAY"):
            refuse("USAGE of a group", item.line)
        _check_elementary(item)
        if item.redefines and item.value:
            refuse("VALUE in what redefines another item", item.line)
        if item.redefines and item.is_table:
            refuse("REDEFINES by a table", item.line)
        if len(item.tables) > 3:
            refuse("a table of more than three dimensions", item.line)
        if item.value and any(one.value for one in item.above):
            refuse("VALUE in a group that has one", item.line)


def _check_elementary(item: Item) -> None:
    if item.children or not item.picture:
        return
    category = item.category
    item.usage = item.usage or "DISPLAY"
    if category != "number" and (item.usage != "DISPLAY" or item.sign):
        refuse(f"USAGE or SIGN of PICTURE {item.picture}", item.line)
    if category == "number" and not 1 <= item.digits <= _WIDEST:
        refuse(f"a number of {item.digits} digits", item.line)
    if category == "number" and item.sign and (item.usage != "DISPLAY" or not item.signed):
        refuse("SIGN of a number that has none", item.line)
    if category == "number" and item.usage == "NATIVE" and item.scale:
        refuse("COMP-5 with decimals", item.line)
    if item.blank and category == "text":
        refuse("BLANK WHEN ZERO of a text", item.line)
    if item.right and category != "text":
        refuse("JUSTIFIED of what is not alphanumeric", item.line)
    if category == "edited":
        _check_edited(item)


_INTEGER: Final = r"[,B/0]*(?:[Z*][Z*,B/0]*)?(?:9[9,B/0]*)?"
_EDITED: Final = re.compile(
    rf"""(?P<lead>[+\-]|\$)?{_INTEGER}(?:\.9+)?(?P<trail>[+\-]|CR|DB)?
      | (?P<float>\+[+,B/0]*\+|-[-,B/0]*-|\$[$,B/0]*\$)(?:9[9,B/0]*)?(?:\.9+)?(?P<end>CR|DB)?
      | [Z*][Z*,]*(?:\.(?:Z+|\*+))""",
    re.VERBOSE,
)


def _check_edited(item: Item) -> None:
    picture = item.picture
    match = _EDITED.fullmatch(picture)
    mixed = "Z" in picture and "*" in picture
    if match is None or mixed or not re.search(r"[9Z*]|\+\+|--|\$\$", picture):
        refuse(f"PICTURE {picture}", item.line)
    if match["lead"] and match["trail"] and match["lead"][0] in "+-":
        refuse(f"PICTURE {picture}", item.line)
    if item.blank and "*" in picture:
        refuse("BLANK WHEN ZERO with asterisks", item.line)


def _lay_out(item: Item, offset: int) -> None:
    item.offset = offset
    at, places = offset, dict[str, tuple[int, int]]()
    for child in item.children:
        if child.redefines:
            if child.redefines not in places:
                refuse(f"REDEFINES {child.redefines}", child.line)
            start, room = places[child.redefines]
            _lay_out(child, start)
            if child.size > room:
                refuse("REDEFINES of a smaller item", child.line)
            continue
        _lay_out(child, at)
        places[child.name] = (at, child.size * child.occurs)
        at += child.size * child.occurs
