"""ADD, SUBTRACT, MULTIPLY, DIVIDE and COMPUTE, with ROUNDED and ON SIZE ERROR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from examples.cobol.translator.operands import Operand
from examples.cobol.translator.source import refuse
from examples.cobol.translator.statements import Block, Context, Verb, either, is_name, receiver

_MODES: Final = {
    "TRUNCATION": "TRUNCATION",
    "AWAY-FROM-ZERO": "AWAY_FROM_ZERO",
    "NEAREST-AWAY-FROM-ZERO": "NEAREST_AWAY",
    "NEAREST-EVEN": "NEAREST_EVEN",
    "NEAREST-TOWARD-ZERO": "NEAREST_TOWARD_ZERO",
    "TOWARD-GREATER": "GREATER",
    "TOWARD-LESSER": "LESSER",
}


@dataclass(frozen=True)
class Target:
    """An item that a result goes into, and how it is rounded."""

    operand: Operand
    rounding: str = "TRUNCATION"

    def store(self, value: str) -> str:
        how = "" if self.rounding == "TRUNCATION" and self.operand.kind == "number" else f", Rounding.{self.rounding}"
        return f"{self.operand.java}.set({value}{how});"

    def fits(self, value: str) -> str:
        return f"{self.operand.java}.fits({value}, Rounding.{self.rounding})"


def targets(context: Context) -> list[Target]:
    """The receivers with their rounding."""
    found = list[Target]()
    while not found or (context.cursor.token.kind == "word" and is_name(context, context.cursor.token.text)):
        operand = receiver(context)
        if operand.kind not in ("number", "edited"):
            refuse("a result in what is no number", operand.line)
        found.append(Target(operand, rounding(context)))
    return found


def rounding(context: Context) -> str:
    cursor = context.cursor
    if not cursor.take("ROUNDED"):
        return "TRUNCATION"
    if not cursor.take("MODE"):
        return "NEAREST_AWAY"
    cursor.take("IS")
    mode = cursor.word()
    if mode.text not in _MODES:
        refuse(f"ROUNDED MODE {mode.text}", mode.line)
    return _MODES[mode.text]


def finished(context: Context, results: list[tuple[Target, str]], end: str, shared: str = "") -> Block:
    """The results stored, and what is to be done if one has no place; `shared` is a value that all are made of."""
    cursor = context.cursor
    over, well = size_error(context, end)
    risky = "divide(" in f"{shared}{[value for _, value in results]}"
    first = [f"BigDecimal value = {shared};"] if shared else []
    if over is None and well is None:
        lines = [*first, *(target.store(value) for target, value in results)]
        if risky:
            # The standard leaves open what a division by zero without SIZE ERROR does; here nothing is stored.
            inner = [f"    {line}" for line in lines]
            return Block(
                ["try {", *inner, "} catch (ArithmeticException noQuotient) {", "    // nothing is stored", "}"]
            )
        return Block(["{", *(f"    {line}" for line in lines), "}"] if shared else lines)
    if any(target.operand.item is not None and target.operand.item.usage == "NATIVE" for target, _ in results):
        refuse("SIZE ERROR of a native binary number", cursor.line)
    tests = " & ".join(target.fits(value) for target, value in results)
    given = f"fits(() -> {{ {first[0]} return {tests}; }})" if shared else f"fits(() -> {tests})"
    over, well = over or Block(), well or Block()
    lines = [f"if ({given}) {{", *well.indented(), "} else {", *over.indented(), "}"]
    return Block(lines, ends=over.ends and well.ends)


def size_error(context: Context, end: str) -> tuple[Block | None, Block | None]:
    """What stands under ON SIZE ERROR and NOT ON SIZE ERROR."""
    cursor = context.cursor

    def begins() -> bool:
        return any(cursor.sees_all(*two) for two in (("ON", "SIZE"), ("SIZE", "ERROR"), ("NOT", "ON"), ("NOT", "SIZE")))

    found = either(context, begins, "ON", "SIZE", "ERROR")
    cursor.take(end)
    return found


def values(context: Context, *ends: str) -> list[str]:
    """Operands up to one of these words, as BigDecimal."""
    found = list[str]()
    while not context.cursor.sees(*ends):
        found.append(context.expressions.value(context.expressions.operand()))
    return found


def total(parts: list[str]) -> str:
    made = parts[0]
    for part in parts[1:]:
        made = f"{made}.add({part})"
    return made


def compute(context: Context) -> Block:
    found = targets(context)
    context.cursor.need("=", "EQUAL")
    value = context.expressions.sum(divides=True)
    if len(found) == 1:
        return finished(context, [(found[0], value)], "END-COMPUTE")
    return finished(context, [(target, "value") for target in found], "END-COMPUTE", value)


def add(context: Context) -> Block:
    line = context.cursor.line
    parts = values(context, "TO", "GIVING")
    if not parts:
        refuse("ADD of nothing", line)
    return _summed(context, parts, "TO", "add", "END-ADD")


def subtract(context: Context) -> Block:
    line = context.cursor.line
    parts = values(context, "FROM")
    if not parts:
        refuse("SUBTRACT of nothing", line)
    return _summed(context, parts, "FROM", "subtract", "END-SUBTRACT")


def _summed(context: Context, parts: list[str], word: str, verb: str, end: str) -> Block:
    cursor, amount = context.cursor, total(parts)
    if cursor.take("GIVING"):  # ADD a b GIVING c
        return _giving(context, amount, end)
    cursor.need(word)
    start = cursor.at
    if cursor.token.kind in ("number", "text") or not is_name(context, cursor.token.text):
        base = context.expressions.sum()
        cursor.need("GIVING")
        return _giving(context, f"{base}.{verb}({amount})", end)
    found = targets(context)
    if cursor.sees("GIVING"):
        if len(found) != 1:
            refuse("GIVING of more than one sum", cursor.line)
        cursor.at = start
        base = context.expressions.value(context.expressions.operand())
        cursor.need("GIVING")
        return _giving(context, f"{base}.{verb}({amount})", end)
    results = [(target, f"{_current(context, target)}.{verb}({amount})") for target in found]
    return finished(context, results, end)


def _current(context: Context, target: Target) -> str:
    if target.operand.kind != "number":
        refuse("arithmetic with an edited item", target.operand.line)
    return context.expressions.value(target.operand)


def _giving(context: Context, value: str, end: str) -> Block:
    found = targets(context)
    if len(found) == 1:
        return finished(context, [(found[0], value)], end)
    return finished(context, [(target, "value") for target in found], end, value)


def multiply(context: Context) -> Block:
    factor = context.expressions.value(context.expressions.operand())
    context.cursor.need("BY")
    start = context.cursor.at
    if context.cursor.token.is_number:
        base = context.expressions.sum()
        context.cursor.need("GIVING")
        return _giving(context, f"{factor}.multiply({base})", "END-MULTIPLY")
    found = targets(context)
    if context.cursor.sees("GIVING"):
        context.cursor.at = start
        base = context.expressions.value(context.expressions.operand())
        context.cursor.need("GIVING")
        return _giving(context, f"{factor}.multiply({base})", "END-MULTIPLY")
    results = [(target, f"{_current(context, target)}.multiply({factor})") for target in found]
    return finished(context, results, "END-MULTIPLY")


def divide(context: Context) -> Block:
    cursor = context.cursor
    first = context.expressions.value(context.expressions.operand())
    into = cursor.need("INTO", "BY").text == "INTO"
    start = cursor.at
    if into and not cursor.token.is_number:
        found = targets(context)
        if not cursor.sees("GIVING"):
            results = [(target, f"divide({_current(context, target)}, {first})") for target in found]
            return finished(context, results, "END-DIVIDE")
        cursor.at = start
    second = context.expressions.value(context.expressions.operand())
    cursor.need("GIVING")
    dividend, divisor = (second, first) if into else (first, second)
    found = targets(context)
    if cursor.take("REMAINDER"):
        return _remainder(context, dividend, divisor, found)
    value = f"divide({dividend}, {divisor})"
    if len(found) == 1:
        return finished(context, [(found[0], value)], "END-DIVIDE")
    return finished(context, [(target, "value") for target in found], "END-DIVIDE", value)


def _remainder(context: Context, dividend: str, divisor: str, found: list[Target]) -> Block:
    line = context.cursor.line
    rest = targets(context)
    if len(found) != 1 or len(rest) != 1 or found[0].operand.item is None or found[0].operand.kind != "number":
        refuse("DIVIDE with REMAINDER and more than one result", line)
    if size_error(context, "END-DIVIDE") != (None, None):
        refuse("DIVIDE with REMAINDER and SIZE ERROR", line)
    scale = found[0].operand.item.scale
    return Block(
        [
            "try {",
            f"    BigDecimal dividend = {dividend};",
            f"    BigDecimal divisor = {divisor};",
            "    BigDecimal quotient = divide(dividend, divisor);",
            f"    {found[0].store('quotient')}",
            f"    BigDecimal taken = round(quotient, {scale}, Rounding.TRUNCATION).multiply(divisor);",
            f"    {rest[0].store('dividend.subtract(taken)')}",
            "} catch (ArithmeticException noQuotient) {",
            "    // nothing is stored",
            "}",
        ]
    )


ARITHMETIC: Final[Mapping[str, Verb]] = {
    "COMPUTE": compute,
    "ADD": add,
    "SUBTRACT": subtract,
    "MULTIPLY": multiply,
    "DIVIDE": divide,
}
