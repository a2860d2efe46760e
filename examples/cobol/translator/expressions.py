"""Conditions, as Java."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from examples.cobol.translator.items import FIGURATIVE
from examples.cobol.translator.operands import Arithmetic, Operand, quoted
from examples.cobol.translator.source import Refused, Token, refuse

_RELATIONS: Final = {"=": "==", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "<>": "!="}
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_RELATION_WORDS: Final = (*_RELATIONS, "EQUAL", "EQUALS", "GREATER", "LESS")


@dataclass
class Subject:
    """What an abbreviated condition goes on with."""

    operand: Operand
    relation: str = ""


class Expressions(Arithmetic):
    """Reads operands, arithmetic and conditions at a cursor."""

    def condition(self) -> str:
        """A condition, as a boolean expression."""
        return self.any_of([])

    def any_of(self, subject: list[Subject]) -> str:
        parts = [self.all_of(subject)]
        while self.cursor.take("OR"):
            parts.append(self.all_of(subject))
        return " || ".join(parts)

    def all_of(self, subject: list[Subject]) -> str:
        parts = [self.negation(subject)]
        while self.cursor.take("AND"):
            parts.append(self.negation(subject))
        if len(parts) == 1:
            return parts[0]
        return " && ".join(parts)

    def negation(self, subject: list[Subject]) -> str:
        if self.cursor.sees("NOT") and not (self.cursor.ahead(1).text in _RELATION_WORDS and subject):
            self.cursor.next()
            return f"!({self.negation(subject)})"
        return self.simple(subject)

    def simple(self, subject: list[Subject]) -> str:
        token = self.cursor.token
        if self.cursor.sees("("):
            start, tokens = self.cursor.at, self.cursor.tokens
            reads, known = len(self.names.read), list(subject)
            try:
                self.cursor.next()
                made = self.any_of(subject)
                self.cursor.need(")")
                if not self.cursor.sees("+", "-", "*", "/", "**", "IS", *_RELATIONS, "EQUAL", "GREATER", "LESS"):
                    return f"({made})"
            except Refused:
                pass
            self.cursor.at, self.cursor.tokens = start, tokens
            subject[:] = known
            del self.names.read[reads:]
        if token.kind == "word" and token.text in self.names.conditions:
            return self.condition_name()
        if subject and (self.cursor.sees(*_RELATION_WORDS) or self.cursor.sees("NOT")):
            relation = self.relation()
            right = self.arithmetic()
            subject[0].relation = relation
            return self.compared(subject[0].operand, relation, right)
        left = self.arithmetic()
        self.cursor.take("IS")
        if self.cursor.sees("NOT", *_RELATION_WORDS) and not (
            self.cursor.sees("NOT") and self.cursor.ahead(1).text not in _RELATION_WORDS
        ):
            relation = self.relation()
            right = self.arithmetic()
            subject[:] = [Subject(left, relation)]
            return self.compared(left, relation, right)
        denied = self.cursor.take("NOT")
        made = self.classified(left)
        if made:
            return f"!{made}" if denied else made
        if denied or not subject or not subject[0].relation:
            refuse(f"{self.cursor.token.text!r} in a condition", self.cursor.line)
        return self.compared(subject[0].operand, subject[0].relation, left)

    def condition_name(self) -> str:
        token = self.cursor.next()
        groups = self.groups()
        condition, item = self.names.condition(token.text, groups, token.line)
        java = item.java + self.subscripts(item, token.line)
        operand = Operand(item.category, java, token.line, item)
        parts = list[str]()
        for first, last in condition.values:
            if last is None:
                parts.append(self.compared(operand, "==", self.given(first)))
            else:
                low = self.compared(operand, ">=", self.given(first))
                parts.append(f"{low} && {self.compared(operand, '<=', self.given(last))}")
        return f"({' || '.join(parts)})"

    def given(self, token: Token) -> Operand:
        if token.text in FIGURATIVE and token.kind == "word":
            return Operand("figurative", FIGURATIVE[token.text], token.line)
        return Operand("literal" if token.kind == "text" else "constant", token.text, token.line)

    def relation(self) -> str:
        """A relation, as Java's operator against 0."""
        denied = self.cursor.take("NOT")
        token = self.cursor.need(*_RELATION_WORDS)
        if token.text in _RELATIONS:
            made = _RELATIONS[token.text]
        elif token.text in ("EQUAL", "EQUALS"):
            made = "=="
            self.cursor.take("TO")
        else:
            self.cursor.take("THAN")
            made = ">" if token.text == "GREATER" else "<"
        if self.cursor.take_all("OR", "EQUAL"):
            self.cursor.take("TO")
            made += "="
        return _OPPOSITE[made] if denied else made

    def classified(self, left: Operand) -> str:
        """A class or sign condition, if one is next."""
        if self.cursor.take("NUMERIC"):
            if left.kind != "text" or not left.is_item or (left.item and set(left.item.picture) - {"X"}):
                refuse("NUMERIC of what is not alphanumeric", left.line)
            return f"isNumeric({left.java})"
        if self.cursor.take("ALPHABETIC"):
            if left.kind != "text" or not left.is_item:
                refuse("ALPHABETIC of what is not alphanumeric", left.line)
            return f"isAlphabetic({left.java})"
        signs = {"POSITIVE": ">", "NEGATIVE": "<", "ZERO": "==", "ZEROS": "==", "ZEROES": "=="}
        if self.cursor.sees(*signs):
            sign = signs[self.cursor.next().text]
            return f"({self.value(left)}.signum() {sign} 0)"
        return ""

    def compared(self, left: Operand, relation: str, right: Operand) -> str:
        if left.divides or right.divides:
            refuse("a condition with a division that may be by zero", left.line)
        if left.is_number and right.is_number:
            if left.kind == "figurative" and right.kind == "figurative":
                refuse("a comparison of constants", left.line)
            self.check_size(left, right)
            self.check_size(right, left)
            return f"{self.value(left)}.compareTo({self.value(right)}) {relation} 0"
        if not left.is_item and right.is_item:
            return self.compared(right, _TURNED[relation], left)
        if not left.is_item or left.is_value:
            refuse("a comparison of constants", left.line)
        if right.kind == "figurative":
            if left.kind == "number":
                refuse("a comparison of a number with a figurative constant", left.line)
            return f"compareAll({left.java}, {quoted(right.java)}) {relation} 0"
        for side in (left, right):
            if side.kind == "constant" or (side.kind == "number" and not self.is_plain(side)):
                refuse("a comparison of a number with a text", side.line)
            self.use(side)
        other = quoted(right.java) if right.kind == "literal" else right.java
        return f"compare({left.java}, {other}) {relation} 0"

    def check_size(self, given: Operand, other: Operand) -> None:
        """Refuse a negative literal that the item has no digits for: the compiler decides that without its sign."""
        item = given.item
        if item is not None and other.kind == "constant" and other.java[0] == "-":
            whole = other.java.lstrip("-0").partition(".")[0]
            if len(whole) > min(item.size, item.digits) - item.scale:
                refuse("a comparison with a number that is too long for the item", other.line)

    def is_plain(self, operand: Operand) -> bool:
        """Whether the digits of a number are all that its bytes are."""
        item = operand.item
        return (
            item is not None and item.usage == "DISPLAY" and not item.signed and not item.scale and not operand.is_value
        )
