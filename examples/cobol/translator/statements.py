"""Statements as Java: what all verbs share, and moving, showing and taking values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from examples.cobol.translator.cursor import Cursor
from examples.cobol.translator.expressions import Expressions
from examples.cobol.translator.items import Item
from examples.cobol.translator.names import Names
from examples.cobol.translator.operands import Operand, constant, quoted
from examples.cobol.translator.source import refuse

_STOPS: Final = ("ELSE", "WHEN", "NOT", "ON", "AT", "SIZE", "INVALID", "OVERFLOW", "EXCEPTION", "END")


@dataclass
class Block:
    """Java lines; `ends` if what stands behind them is never reached."""

    lines: list[str] = field(default_factory=list)
    ends: bool = False

    def add(self, other: Block) -> None:
        """Put another one behind; nothing is behind an end, as Java refuses what is never reached."""
        if not self.ends:
            self.lines += other.lines
            self.ends = other.ends

    def indented(self) -> list[str]:
        return [f"    {line}" for line in self.lines]


@dataclass
class Paragraph:
    """A paragraph, or what stands in a section before its first one."""

    name: str
    java: str
    section: str
    block: Block = field(default_factory=Block)


@dataclass
class Context:
    """What the translation of a statement needs to know."""

    cursor: Cursor
    names: Names
    paragraphs: list[Paragraph]
    verbs: Mapping[str, Verb]
    loops: int = 0
    """How many loops stand around."""
    cycles: bool = False
    """Whether EXIT PERFORM CYCLE was seen since this was last unset."""
    jumps: bool = False
    """Whether there is a GO TO."""
    paragraph: Paragraph | None = None

    @property
    def expressions(self) -> Expressions:
        return Expressions(self.cursor, self.names)


Verb = Callable[[Context], Block]


def either(context: Context, begins: Callable[[], bool], lead: str, *words: str) -> tuple[Block | None, Block | None]:
    """What stands under a phrase such as ON SIZE ERROR, and under the same with NOT; `lead` may be left out."""
    cursor = context.cursor
    found: dict[bool, Block] = {}
    while begins():
        denied = cursor.take("NOT")
        cursor.take(lead)
        for word in words:
            cursor.need(word)
        found[denied] = statements(context)
    return found.get(False), found.get(True)


def statements(context: Context) -> Block:
    """Statements up to what ends them: a period, or a word of the statement around."""
    cursor, found = context.cursor, Block()
    while not cursor.done and not cursor.sees("."):
        token = cursor.token
        if token.kind == "word" and (token.text in _STOPS or token.text.startswith("END-")):
            break
        if token.kind != "word" or token.text not in context.verbs:
            refuse(f"the statement {token.text}", token.line)
        cursor.next()
        found.add(context.verbs[token.text](context))
    return found


def simple(*lines: str) -> Block:
    return Block(list(lines))


def receiver(context: Context) -> Operand:
    """An item that is to be given a value."""
    given = context.expressions.operand()
    if not given.is_item:
        refuse("a receiver that is no item", given.line)
    return given


def receivers(context: Context) -> list[Operand]:
    """The items up to what is no name."""
    found = [receiver(context)]
    while context.cursor.token.kind == "word" and is_name(context, context.cursor.token.text):
        found.append(receiver(context))
    return found


def is_name(context: Context, word: str) -> bool:
    return word in context.names.by_name or word in context.names.indexes or word == "RETURN-CODE"


def note_text(context: Context, target: Operand) -> None:
    """Text is written into this item: numbers there may then have no digits."""
    if target.item is not None and (target.kind in ("text", "group")):
        context.names.writes(target.item, target.line)


# Verbs


def move(context: Context) -> Block:
    source = context.expressions.operand()
    if source.kind == "constant" and context.cursor.token.is_number:
        refuse("a receiver that is no item", source.line)
    context.cursor.need("TO")
    targets = receivers(context)
    return simple(*(moved(context, source, target) for target in targets))


def moved(context: Context, source: Operand, target: Operand) -> str:
    """MOVE, as a call of the receiver."""
    line, java = target.line, target.java
    note_text(context, target)
    if source.kind == "figurative":
        if target.kind in ("number", "edited") and source.java != "0":
            refuse("MOVE of a figurative constant to a number", line)
        if target.kind == "number" and (target.item is None or target.item.name in context.names.indexes):
            refuse("MOVE to an index", line)
        return f"{java}.fill({quoted(source.java)});"
    if source.kind == "literal":
        if context.names.decimal_comma and target.kind in ("number", "edited"):
            refuse("MOVE of a text to a number where the comma is the decimal point", line)
        if target.kind in ("number", "edited") and not (source.java.isdigit() and len(source.java) <= 18):
            refuse("MOVE of a text to a number", line)
        if target.kind == "edited":
            refuse("MOVE of a text to an edited item", line)
        return f"{java}.move({quoted(source.java)});"
    if source.kind == "constant":
        return f"{java}.move({moved_constant(source, target)});"
    if source.is_value:
        if target.kind not in ("number",):
            refuse("MOVE of a function to what is no number", line)
        return f"{java}.move({source.java});"
    if source.kind == "group" and target.kind in ("number", "edited"):
        refuse("MOVE of a group to a number", line)
    if source.kind == "edited" and target.kind in ("number", "edited"):
        refuse("MOVE of an edited item to a number", line)
    if source.kind == "text" and target.kind == "edited":
        refuse("MOVE of a text to an edited item", line)
    if source.kind == "text" and target.kind == "number" and context.names.decimal_comma:
        refuse("MOVE of a text to a number where the comma is the decimal point", line)
    if source.kind == "number":
        if target.kind != "group":
            context.expressions.use(source)
        if target.kind == "text" and source.item is not None and source.item.scale:
            refuse("MOVE of a number with decimals to a text", line)
        if target.kind == "text" and source.item is not None and source.item.whole:
            refuse(f"MOVE of {source.item.usage} to a text", line)
    return f"{java}.move({source.java});"


def moved_constant(source: Operand, target: Operand) -> str:
    """A numeric literal, as the receiver takes it."""
    text = source.java
    if target.kind in ("text", "group"):
        if not text.isdigit() or (len(text) > 1 and text[0] == "0"):
            refuse("MOVE of a number with sign, point or leading zeros to a text", source.line)
        return quoted(text)
    number = text.removeprefix("+")
    return str(int(number)) if number.lstrip("-").isdigit() and len(number) < 10 else constant(text)


def display(context: Context) -> Block:
    cursor, parts = context.cursor, list[str]()
    newline, errors = True, False
    while True:
        token = cursor.token
        if cursor.take("UPON"):
            where = cursor.word()
            if where.text not in ("CONSOLE", "SYSOUT", "STDOUT", "SYSERR", "STDERR"):
                refuse(f"DISPLAY UPON {where.text}", where.line)
            errors = where.text.endswith("ERR")
        elif cursor.take_all("WITH", "NO", "ADVANCING") or cursor.take_all("NO", "ADVANCING"):
            newline = False
        elif token.kind in ("text", "number") or (
            token.kind == "word"
            and token.text not in context.verbs
            and not token.text.startswith("END-")
            and token.text not in _STOPS
        ):
            parts.append(displayed(context, context.expressions.operand()))
        else:
            break
    cursor.take("END-DISPLAY")
    if not parts:
        refuse("DISPLAY of nothing", cursor.line)
    verb = "complain" if errors else "display" if newline else "show"
    if errors and not newline:
        refuse("DISPLAY UPON SYSERR WITH NO ADVANCING", cursor.line)
    return simple(f"{verb}({', '.join(parts)});")


def displayed(context: Context, operand: Operand) -> str:
    if operand.kind in ("literal", "figurative"):
        if operand.kind == "figurative" and len(operand.java) > 1:
            refuse("DISPLAY ALL", operand.line)
        return quoted(operand.java)
    if operand.kind == "constant":
        digits = operand.java.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0":
            refuse("DISPLAY of a number with leading zeros", operand.line)
        return quoted(operand.java.replace(".", "," if context.names.decimal_comma else "."))
    if operand.shown:
        return operand.shown
    if operand.is_value:
        refuse("DISPLAY of a numeric function", operand.line)
    if operand.item is not None and operand.item.name in context.names.indexes:
        refuse("DISPLAY of an index", operand.line)
    return context.expressions.use(operand).java


def accept(context: Context) -> Block:
    target = receiver(context)
    if context.cursor.take("FROM"):
        return _accept_date(context, target)
    if context.cursor.sees("AT", "WITH", "UPON"):
        refuse(f"ACCEPT {context.cursor.token.text}", target.line)
    context.cursor.take("END-ACCEPT")
    if target.kind == "number" and context.names.decimal_comma:
        refuse("ACCEPT of a number where the comma is the decimal point", target.line)
    if target.kind in ("edited",) or (target.kind == "number" and target.item is not None and target.item.sign):
        refuse("ACCEPT of such an item", target.line)
    note_text(context, target)
    return simple(f"accept({target.java});")


def _accept_date(context: Context, target: Operand) -> Block:
    """ACCEPT FROM DATE or DAY, of today."""
    cursor = context.cursor
    what = cursor.need("DATE", "DAY").text
    long = cursor.take("YYYYMMDD" if what == "DATE" else "YYYYDDD")
    cursor.take("END-ACCEPT")
    if target.kind != "text":
        refuse(f"ACCEPT FROM {what} in what is not alphanumeric", target.line)
    note_text(context, target)
    pattern = ("yyyy" if long else "yy") + ("MMdd" if what == "DATE" else "DDD")
    return simple(f'{target.java}.move(today("{pattern}"));')


def initialize(context: Context) -> Block:
    found = Block()
    for target in receivers(context):
        if target.item is None or target.variable:
            refuse("INITIALIZE of a part", target.line)
        if target.item.children and target.item.tables:
            refuse("INITIALIZE of a group in a table", target.line)
        if target.item.children:
            for item in target.item.all:
                found.lines += initialized(item)
        else:
            found.lines.append(f'{target.java}.fill("{" " if target.kind == "text" else "0"}");')
    if context.cursor.sees("WITH", "REPLACING", "ALL", "TO", "THEN", "DEFAULT") or context.cursor.token.text in (
        "NUMERIC",
        "ALPHANUMERIC",
    ):
        refuse(f"INITIALIZE {context.cursor.token.text}", context.cursor.line)
    return found


def initialized(item: Item) -> list[str]:
    """What sets an elementary item in all tables that it is in."""
    if item.children or not item.name or item.is_redefining:
        return []
    counters = [f"i{number}" for number in range(1, len(item.tables) + 1)]
    lines = [
        f"{'    ' * depth}for (int {counter} = 1; {counter} <= {table.occurs}; {counter}++) {{"
        for depth, (counter, table) in enumerate(zip(counters, item.tables, strict=True))
    ]
    place = f".at({', '.join(counters)})" if counters else ""
    value = " " if item.category == "text" else "0"
    lines.append(f'{"    " * len(counters)}{item.java}{place}.fill("{value}");')
    return lines + ["    " * depth + "}" for depth in reversed(range(len(counters)))]


def set_(context: Context) -> Block:
    cursor = context.cursor
    token = cursor.token
    if token.text in context.names.conditions:
        lines = list[str]()
        while cursor.token.text in context.names.conditions:
            lines.append(_set_condition(context))
        cursor.need("TO")
        cursor.need("TRUE")
        return simple(*lines)
    targets = receivers(context)
    if cursor.take("TO"):
        value = context.expressions.arithmetic()
        if not value.is_number:
            refuse("SET TO what is no number", token.line)
        return simple(*(f"{target.java}.set({context.expressions.value(value)});" for target in targets))
    sign = cursor.need("UP", "DOWN").text
    cursor.need("BY")
    amount = context.expressions.sum()
    verb = "add" if sign == "UP" else "subtract"
    return simple(*(f"{one.java}.set({context.expressions.use(one).java}.get().{verb}({amount}));" for one in targets))


def _set_condition(context: Context) -> str:
    token = context.cursor.next()
    groups = context.expressions.groups()
    condition, item = context.names.condition(token.text, groups, token.line)
    target = Operand(item.category, item.java + context.expressions.subscripts(item, token.line), token.line, item)
    return moved(context, context.expressions.given(condition.values[0][0]), target)


def stop(context: Context) -> Block:
    cursor = context.cursor
    cursor.need("RUN")
    if cursor.take("RETURNING", "GIVING"):
        value = context.expressions.sum()
        return Block([f"throw new Stop({value}.intValue());"], ends=True)
    if cursor.take("NORMAL"):
        return Block(["throw new Stop(0);"], ends=True)
    if cursor.token.kind in ("word", "number") and (cursor.sees("ERROR", "WITH") or cursor.token.is_number):
        refuse(f"STOP RUN {cursor.token.text}", cursor.line)
    return Block(["throw stop();"], ends=True)


def goback(context: Context) -> Block:
    if context.cursor.sees("RETURNING", "GIVING"):
        refuse("GOBACK RETURNING", context.cursor.line)
    return Block(["throw stop();"], ends=True)


def nothing(_context: Context) -> Block:
    return Block()


BASIC: Final[Mapping[str, Verb]] = {
    "MOVE": move,
    "DISPLAY": display,
    "ACCEPT": accept,
    "INITIALIZE": initialize,
    "SET": set_,
    "STOP": stop,
    "GOBACK": goback,
    "CONTINUE": nothing,
}
