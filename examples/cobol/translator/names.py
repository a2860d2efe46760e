"""What the names of a program mean, and what is known of its memory: which digits may have been written as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from examples.cobol.translator.items import Condition, File, Item
from examples.cobol.translator.source import refuse

_RESERVED: Final = frozenset(
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends final "
    "finally float for goto if implements import instanceof int interface long native new package private protected "
    "public return short static strictfp super switch synchronized this throw throws transient try void volatile while "
    "true false null var record yield sealed permits "
    # What the programs inherit.
    "run start stop display show complain accept big divide round compare compareAll isNumeric isAlphabetic bytes "
    "isDigit isSpace count decimals returnCode main upper lower trim reverse join split tally replace convert open "
    "num text edited index power fits today point in out files perform paragraph lastParagraph arguments "
    # What their methods call their own.
    "value dividend divisor quotient taken noQuotient times i1 i2 i3 "
    "getClass hashCode equals clone toString notify notifyAll wait finalize ordinal jump".split()
) | {f"times{depth}" for depth in range(2, 50)}


@dataclass
class Names:
    """The items, conditions and files of a program by their names."""

    records: Sequence[Item]
    files: Sequence[File] = ()
    taken: set[str] = field(default_factory=lambda: set(_RESERVED))
    by_name: dict[str, list[Item]] = field(default_factory=dict)
    conditions: dict[str, list[tuple[Condition, Item]]] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    """Index-names, and what they are in Java."""
    written: list[tuple[Item, int]] = field(default_factory=list)
    """Items that text was put into, and the line."""
    decimal_comma: bool = False
    read: list[tuple[Item, int]] = field(default_factory=list)
    """Numbers whose digits are used, and the line."""

    def __post_init__(self) -> None:
        for item in self.items():
            if item.name:
                self.by_name.setdefault(item.name, []).append(item)
                item.java = self.java_name(item.name)
            for condition in item.conditions:
                self.conditions.setdefault(condition.name, []).append((condition, item))
            for name in item.indexes:
                self.indexes[name] = self.java_name(name)

    def items(self) -> Iterator[Item]:
        for record in self.records:
            yield from record.all

    def java_name(self, name: str, *, prefix: str = "") -> str:
        """A name in Java's manner that nothing else has: WS-TOTAL is wsTotal."""
        words = [word for word in re.split(r"[-_]+", f"{prefix}-{name}".lower()) if word]
        made = words[0] + "".join(word.capitalize() for word in words[1:])
        made = f"n{made}" if made[0].isdigit() else made
        found, number = made, 2
        while found in self.taken:
            found, number = f"{made}{number}", number + 1
        self.taken.add(found)
        return found

    def item(self, name: str, groups: Sequence[str], line: int) -> Item:
        """The item of this name in these groups, the inner first."""
        found = [item for item in self.by_name.get(name, ()) if _is_in(item, groups)]
        if not found:
            refuse(f"the name {name}", line)
        if len(found) > 1:
            refuse(f"the name {name}, which more than one item has", line)
        return found[0]

    def condition(self, name: str, groups: Sequence[str], line: int) -> tuple[Condition, Item]:
        found = [
            (condition, item)
            for condition, item in self.conditions[name]
            if not groups or groups[0] == item.name or _is_in(item, groups)
        ]
        if len(found) != 1:
            refuse(f"the condition {name}, which more than one item has", line)
        return found[0]

    # Digits

    def reads(self, item: Item, line: int) -> None:
        """A number is used as one."""
        self.read.append((item, line))

    def writes(self, item: Item, line: int) -> None:
        """Something other than digits may be in these bytes now, of all occurrences."""
        self.written.append((item, line))

    def check_digits(self) -> None:
        """Refuse numbers whose digits may be none: what they then are is undefined."""
        checked = set[int]()
        for item, line in self.read:
            if id(item) not in checked:
                checked.add(id(item))
                self._check_digits(item, line)

    def _check_digits(self, item: Item, line: int) -> None:
        record, own = record_of(item), bytes_of(item)
        for place in self.records:
            for other in place.all if (place.base or place) is record else ():
                related = other is item or item in other.all or other in item.all
                if not related and own & bytes_of(other):
                    refuse(f"the digits of {item.name}, which lie where {other.name or 'FILLER'} does", line)
                if other.value and other.children and own & bytes_of(other):
                    refuse(f"the digits of {item.name}, which are set by the VALUE of a group", line)
        for other, where in self.written:
            if record_of(other) is record and own & bytes_of(other):
                refuse(f"the digits of {item.name}, which line {where} may set to other signs", line)


def record_of(item: Item) -> Item:
    """The record whose memory it is in."""
    top = next(iter([*item.above][-1:]), item)
    return top.base or top


def bytes_of(item: Item) -> frozenset[int]:
    """Where in its record all its occurrences lie."""
    starts = [item.offset]
    for table in item.tables:
        starts = [start + number * table.size for start in starts for number in range(table.occurs)]
    return frozenset(at for start in starts for at in range(start, start + item.size))


def _is_in(item: Item, groups: Sequence[str]) -> bool:
    above = iter(one.name for one in item.above)
    return all(group in above for group in groups)
