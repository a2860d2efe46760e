"""Operands, arithmetic and functions, as Java."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from examples.cobol.translator.cursor import Cursor
from examples.cobol.translator.items import FIGURATIVE, Item
from examples.cobol.translator.names import Names
from examples.cobol.translator.source import Token, refuse

Kind = Literal["number", "text", "group", "edited", "constant", "literal", "figurative"]

_NUMBERS: Final = (
    "LENGTH",
    "ORD",
    "ORD-MAX",
    "ORD-MIN",
    "MAX",
    "MIN",
    "MOD",
    "ABS",
    "SUM",
    "INTEGER",
    "INTEGER-PART",
    "REM",
    "NUMVAL",
)
_TEXTS: Final = {"UPPER-CASE": "upper", "LOWER-CASE": "lower", "TRIM": "trim", "REVERSE": "reverse"}


@dataclass(frozen=True)
class Operand:
    """Something that has a value: what it is, and how Java says it."""

    kind: Kind
    java: str
    """An item of the run-time class; of a constant or literal its text, of an expression a BigDecimal."""
    line: int
    item: Item | None = None
    is_value: bool = False
    """Whether `java` is a BigDecimal already."""
    variable: bool = False
    """Whether its length is known only when it runs."""
    divides: bool = False
    """Whether it may divide by zero."""
    known: Decimal | None = None
    """Its value, if it is made of literals alone."""
    shown: str = ""
    """What DISPLAY shows of a function, where that is known."""

    @property
    def is_number(self) -> bool:
        return self.kind in ("number", "constant") or (self.kind == "figurative" and self.java == "0")

    @property
    def is_item(self) -> bool:
        return self.kind in ("number", "text", "group", "edited") and not self.is_value

    @property
    def is_text(self) -> bool:
        return self.kind in ("text", "group", "edited", "literal")


def quoted(text: str) -> str:
    """A text as Java writes it."""
    return json.dumps(text).replace("\\u007f", "\\177")


def constant(text: str) -> str:
    """A number as a BigDecimal."""
    number = text.removeprefix("+")
    if number.lstrip("-").isdigit() and len(number) < 18:
        value = int(number)
        return {0: "ZERO", 1: "ONE"}.get(value, f"big({value})") if len(number.lstrip("-")) < 10 else f"big({value}L)"
    return f'big("{number}")'


class Operands:
    """Reads operands at a cursor."""

    def __init__(self, cursor: Cursor, names: Names) -> None:
        self.cursor, self.names = cursor, names

    # Operands

    def operand(self) -> Operand:
        """An item, literal, figurative constant or function."""
        token = self.cursor.next()
        if token.kind == "text":
            return Operand("literal", token.text, token.line)
        if token.kind == "number":
            return Operand("constant", token.text, token.line)
        if token.kind != "word":
            refuse(f"{token.text!r} where a value is expected", token.line)
        if token.text in FIGURATIVE:
            return Operand("figurative", FIGURATIVE[token.text], token.line)
        if token.text == "ALL":
            given = self.cursor.next()
            if given.kind != "text":
                refuse(f"ALL {given.text}", token.line)
            return Operand("figurative", given.text, token.line)
        if token.text == "FUNCTION":
            return self.function()
        if token.text == "RETURN-CODE":
            return Operand("number", "returnCode", token.line, Item(77, "RETURN-CODE", 0, "S999999999", "NATIVE"))
        if token.text in self.names.indexes:
            return Operand(
                "number", self.names.indexes[token.text], token.line, Item(77, token.text, 0, "S999999999", "NATIVE")
            )
        return self.reference(token)

    def reference(self, token: Token) -> Operand:
        """An item, with its qualification, subscripts and reference modification."""
        groups = self.groups()
        item = self.names.item(token.text, groups, token.line)
        java = item.java + self.subscripts(item, token.line)
        kind: Kind = item.category
        if self.cursor.sees("("):
            java += self.part(item, token.line)
            if item.category == "number" and item.usage != "DISPLAY":
                refuse("a part of a binary number", token.line)
            return Operand("text", java, token.line, item, variable=True)
        return Operand(kind, java, token.line, item)

    def groups(self) -> list[str]:
        found = list[str]()
        while self.cursor.take("OF", "IN"):
            found.append(self.cursor.word().text)
        return found

    def subscripts(self, item: Item, line: int) -> str:
        """`.at(...)` of an item in tables; empty for others."""
        tables = item.tables
        if not tables:
            return ""
        if not self.cursor.take("("):
            refuse(f"{item.name} without a subscript", line)
        found = [self.subscript(table) for table in tables]
        self.cursor.need(")")
        return f".at({', '.join(found)})"

    def subscript(self, table: Item) -> str:
        token = self.cursor.next()
        if token.is_number and token.text.isdigit():
            if not 1 <= int(token.text) <= table.occurs:
                refuse(f"the subscript {token.text} of {table.occurs}", token.line)
            return str(int(token.text))
        if token.kind != "word":
            refuse(f"the subscript {token.text}", token.line)
        self.cursor.at -= 1
        given = self.operand()
        if given.kind != "number" or given.item is None or given.item.scale or not given.is_item:
            refuse(f"the subscript {token.text}", token.line)
        self.use(given)
        return f"{given.java}.toInt(){self.shift()}"

    def shift(self) -> str:
        """` + 1` behind a subscript or the start of a part."""
        token = self.cursor.token
        if token.is_number and token.text[0] in "+-" and token.text[1:].isdigit():
            self.cursor.next()
            return f" {token.text[0]} {int(token.text[1:])}"
        if self.cursor.sees("+", "-"):
            sign, number = self.cursor.next().text, self.cursor.next()
            if not number.text.isdigit():
                refuse(f"the subscript {sign} {number.text}", number.line)
            return f" {sign} {int(number.text)}"
        return ""

    def part(self, item: Item, line: int) -> str:
        self.cursor.need("(")
        first = self.place()
        self.cursor.need(":")
        length = "" if self.cursor.sees(")") else f", {self.place()}"
        self.cursor.need(")")
        if first.isdigit() and (
            int(first) < 1 or int(first) + int(length[2:] or 1) - 1 > item.size
            if length[2:].isdigit() or not length
            else False
        ):
            refuse(f"a part ({first}:{length[2:]}) of {item.size} bytes", line)
        return f".part({first}{length})"

    def place(self) -> str:
        token = self.cursor.token
        if token.is_number and token.text.isdigit():
            self.cursor.next()
            return f"{int(token.text)}{self.shift()}"
        given = self.operand()
        if given.kind != "number" or given.item is None or given.item.scale or not given.is_item:
            refuse("a part by an expression", token.line)
        self.use(given)
        return f"{given.java}.toInt(){self.shift()}"

    def use(self, operand: Operand) -> Operand:
        """The same; if it is a number, its digits are used."""
        if operand.kind == "number" and operand.item is not None:
            self.names.reads(operand.item, operand.line)
        return operand

    def function(self) -> Operand:
        """What stands behind FUNCTION."""
        raise NotImplementedError

    def as_item(self, operand: Operand) -> str:
        """As an item of the run-time class."""
        if operand.kind == "literal":
            return f"new Text({quoted(operand.java)})"
        if not operand.is_item:
            refuse("a number where a text is expected", operand.line)
        return operand.java


class Arithmetic(Operands):
    """Reads arithmetic and functions at a cursor."""

    def value(self, operand: Operand) -> str:
        """As a BigDecimal."""
        if operand.kind == "figurative" and operand.java == "0":
            return "ZERO"
        if operand.kind == "constant":
            return constant(operand.java)
        if operand.kind != "number":
            refuse("a text in arithmetic", operand.line)
        return operand.java if operand.is_value else f"{self.use(operand).java}.get()"

    def sum(self, *, divides: bool = False) -> str:
        """An arithmetic expression, as a BigDecimal; it may divide by zero if `divides`."""
        made = self.arithmetic()
        if made.divides and not divides:
            refuse("a division where it may be by zero", made.line)
        return self.value(made)

    def arithmetic(self) -> Operand:
        """An arithmetic expression; an operand alone is itself."""
        made = self.product()
        while True:
            token = self.cursor.token
            if self.cursor.sees("+", "-"):
                self.cursor.next()
                made = self.combined(made, "add" if token.text == "+" else "subtract", self.product())
            elif token.is_number and token.text[0] in "+-" and made.kind != "literal":
                # A sign that stands before a number and behind an operand joins the two.
                self.cursor.at += 1
                right = Operand("constant", token.text[1:], token.line)
                self.cursor.at -= 1
                self.cursor.tokens = [*self.cursor.tokens]
                self.cursor.tokens[self.cursor.at] = Token("number", right.java, token.line)
                made = self.combined(made, "add" if token.text[0] == "+" else "subtract", self.product())
            else:
                return made

    def product(self) -> Operand:
        made = self.power()
        while self.cursor.sees("*", "/"):
            sign = self.cursor.next().text
            right = self.power()
            if sign == "*":
                made = self.combined(made, "multiply", right)
            else:
                java = f"divide({self.value(made)}, {self.value(right)})"
                risky = made.divides or right.divides or not _known(right)
                made = Operand("number", java, made.line, is_value=True, divides=risky)
        return made

    def power(self) -> Operand:
        made = self.signed()
        if self.cursor.take("**"):
            exponent = self.cursor.next()
            if not exponent.text.isdigit() or not 0 < int(exponent.text) <= 30 or self.cursor.sees("**"):
                refuse(f"** {exponent.text}", exponent.line)
            made = Operand(
                "number",
                f"power({self.value(made)}, {int(exponent.text)})",
                made.line,
                is_value=True,
                divides=made.divides,
            )
        return made

    def signed(self) -> Operand:
        if self.cursor.sees("-", "+"):
            sign = self.cursor.next().text
            given = self.signed()
            java = f"{self.value(given)}.negate()" if sign == "-" else self.value(given)
            return Operand("number", java, given.line, is_value=True, divides=given.divides)
        if self.cursor.take("("):
            made = self.arithmetic()
            self.cursor.need(")")
            return made
        return self.operand()

    def combined(self, left: Operand, verb: str, right: Operand) -> Operand:
        first, second, known = _known(left), _known(right), None
        if first is not None and second is not None:
            known = {"add": first + second, "subtract": first - second, "multiply": first * second}[verb]
        java = f"{self.value(left)}.{verb}({self.value(right)})"
        risky = left.divides or right.divides
        return Operand("number", java, left.line, is_value=True, divides=risky, known=known)

    # Functions

    def function(self) -> Operand:
        name = self.cursor.word()
        if name.text in _TEXTS:
            self.cursor.need("(")
            given = self.operand()
            which = ""
            if name.text == "TRIM" and self.cursor.sees("LEADING", "TRAILING"):
                which = f", {'true' if self.cursor.next().text == 'TRAILING' else 'false'}"
            self.cursor.need(")")
            if not given.is_text:
                refuse(f"FUNCTION {name.text} of a number", name.line)
            part = ""
            if self.cursor.sees("(") and given.item is not None and name.text != "TRIM":
                part = self.part(given.item, name.line)
            elif self.cursor.sees("("):
                refuse("a part of a function", name.line)
            made = f"{_TEXTS[name.text]}({self.as_item(given)}{which}){part}"
            return Operand("text", made, name.line, variable=True)
        if name.text not in _NUMBERS:
            refuse(f"FUNCTION {name.text}", name.line)
        return self.numeric_function(name)

    def numeric_function(self, name: Token) -> Operand:
        self.cursor.need("(")
        if name.text == "LENGTH":
            given = self.operand()
            self.cursor.need(")")
            if given.kind == "literal" or (given.item is not None and not given.variable):
                size = len(given.java) if given.item is None else given.item.size
                return Operand("constant", str(size), name.line)
            refuse("FUNCTION LENGTH of what has no fixed one", name.line)
        if name.text == "ORD":
            given = self.operand()
            self.cursor.need(")")
            if not given.is_text:
                refuse("FUNCTION ORD of a number", name.line)
            java = f"big({self.as_item(given)}.text().charAt(0) + 1)"
            return Operand("number", java, name.line, is_value=True, shown=f'String.format("%09d", {java}.intValue())')
        if constants := self.constants():
            return _of_constants(name, constants)
        values = list[str]()
        while not self.cursor.take(")"):
            values.append(self.sum())
        if name.text in ("ORD-MAX", "ORD-MIN"):
            refuse(f"FUNCTION {name.text}", name.line)
        wanted = 1 if name.text in ("ABS", "INTEGER-PART") else len(values)
        if not values or len(values) != wanted:
            refuse(f"FUNCTION {name.text} of {len(values)} values", name.line)
        made = values[0]
        if name.text == "ABS":
            made = f"{made}.abs()"
        elif name.text == "INTEGER-PART":
            made = f"{made}.setScale(0, java.math.RoundingMode.DOWN)"
        else:
            for value in values[1:]:
                made = f"{made}.{'add' if name.text == 'SUM' else name.text.lower()}({value})"
        return Operand("number", made, name.line, is_value=True)

    def constants(self) -> list[str]:
        """Numeric literals up to the closing parenthesis, which is gone past then; none if something else is there."""
        count = 0
        while self.cursor.ahead(count).is_number:
            count += 1
        if not count or self.cursor.ahead(count).text != ")":
            return []
        found = [self.cursor.next().text for _ in range(count)]
        self.cursor.need(")")
        return found


def _known(operand: Operand) -> Decimal | None:
    return Decimal(operand.java) if operand.kind == "constant" else operand.known


def _of_constants(name: Token, constants: list[str]) -> Operand:
    """A function of numeric literals, which is one itself."""
    values = [Decimal(text) for text in constants]
    if name.text not in ("MAX", "MIN", "ORD-MAX", "ORD-MIN"):
        refuse(f"FUNCTION {name.text} of literals", name.line)
    best = values.index(max(values) if name.text.endswith("MAX") else min(values))
    if name.text in ("MAX", "MIN"):
        return Operand("constant", constants[best], name.line)
    return Operand("number", f"big({best + 1})", name.line, is_value=True, shown=f'"{best + 1:09}"')
