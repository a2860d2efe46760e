"""STRING, UNSTRING and INSPECT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from examples.cobol.translator.operands import Operand, quoted
from examples.cobol.translator.source import refuse
from examples.cobol.translator.statements import Block, Context, Verb, either, note_text, receiver, simple


def sign(context: Context, operand: Operand) -> str:
    """A text to look for or to put: a literal, a figurative constant, or an item."""
    if operand.kind in ("literal", "figurative"):
        return f"new Text({quoted(operand.java)})"
    if operand.kind == "number" and not context.expressions.is_plain(operand):
        refuse("a number that is more than its digits, as a text", operand.line)
    if not operand.is_item:
        refuse("a number as a text", operand.line)
    return context.expressions.use(operand).java


def overflow(context: Context, end: str) -> tuple[Block | None, Block | None]:
    """What stands under ON OVERFLOW and NOT ON OVERFLOW."""
    cursor = context.cursor

    def begins() -> bool:
        return cursor.sees("ON", "OVERFLOW") or cursor.sees_all("NOT", "ON") or cursor.sees_all("NOT", "OVERFLOW")

    found = either(context, begins, "ON", "OVERFLOW")
    cursor.take(end)
    return found


def chosen(call: str, over: Block | None, well: Block | None) -> Block:
    """The call, and what is to be done by what it tells."""
    if over is None and well is None:
        return simple(f"{call};")
    if well is None:
        return Block([f"if (!{call}) {{", *(over or Block()).indented(), "}"])
    lines = [f"if ({call}) {{", *well.indented()]
    if over is not None:
        lines += ["} else {", *over.indented()]
    return Block([*lines, "}"], ends=over is not None and over.ends and well.ends)


def string(context: Context) -> Block:
    cursor, parts, waiting = context.cursor, list[str](), list[str]()
    while not cursor.sees("INTO"):
        waiting.append(sign(context, context.expressions.operand()))
        if cursor.take("DELIMITED"):
            cursor.take("BY")
            limit = "null" if cursor.take("SIZE") else sign(context, context.expressions.operand())
            parts += [f"new Piece({one}, {limit})" for one in waiting]
            waiting = []
    if waiting:
        refuse("STRING without DELIMITED BY", cursor.line)
    cursor.need("INTO")
    target = receiver(context)
    if target.kind not in ("text", "group") or (target.item is not None and target.item.right):
        refuse("STRING INTO what is not alphanumeric", target.line)
    note_text(context, target)
    pointer = "null"
    if cursor.take("WITH") or cursor.sees("POINTER"):
        cursor.need("POINTER")
        pointer = counter(context)
    over, well = overflow(context, "END-STRING")
    return chosen(f"join({target.java}, {pointer}, {', '.join(parts)})", over, well)


def counter(context: Context) -> str:
    """A number that counts places."""
    given = receiver(context)
    if given.kind != "number" or given.item is None or given.item.scale:
        refuse("a count in what is no whole number", given.line)
    return context.expressions.use(given).java


def unstring(context: Context) -> Block:
    cursor = context.cursor
    source = sign(context, context.expressions.operand())
    limits = list[str]()
    if cursor.take("DELIMITED"):
        cursor.take("BY")
        while not limits or cursor.take("OR"):
            every = cursor.take("ALL")
            limits.append(f"new Limit({sign(context, context.expressions.operand())}, {'true' if every else 'false'})")
    cursor.need("INTO")
    parts = list[str]()
    while not cursor.sees("WITH", "POINTER", "TALLYING", "ON", "NOT", "OVERFLOW", "END-UNSTRING", "."):
        if cursor.token.kind == "word" and cursor.token.text in context.verbs:
            break
        parts.append(_into(context))
    pointer = tally = "null"
    if cursor.take("WITH") or cursor.sees("POINTER"):
        cursor.need("POINTER")
        pointer = counter(context)
    if cursor.take("TALLYING"):
        cursor.take("IN")
        tally = counter(context)
    over, well = overflow(context, "END-UNSTRING")
    into = ", ".join(parts)
    made = ", ".join(limits)
    return chosen(f"split({source}, new Limit[] {{{made}}}, {pointer}, {tally}, {into})", over, well)


def _into(context: Context) -> str:
    target = receiver(context)
    if target.kind not in ("text", "number") or (target.item is not None and target.item.usage not in ("DISPLAY",)):
        refuse("UNSTRING INTO such an item", target.line)
    if target.kind == "number" and target.item is not None and (target.item.sign or target.item.scale):
        refuse("UNSTRING INTO such an item", target.line)
    note_text(context, target)
    limit = count = "null"
    if context.cursor.take("DELIMITER"):
        context.cursor.take("IN")
        given = receiver(context)
        if given.kind != "text":
            refuse("DELIMITER IN what is not alphanumeric", given.line)
        note_text(context, given)
        limit = given.java
    if context.cursor.take("COUNT"):
        context.cursor.take("IN")
        count = counter(context)
    return f"new Into({target.java}, {limit}, {count})"


# INSPECT


def inspect(context: Context) -> Block:
    cursor = context.cursor
    target = receiver(context)
    if target.kind not in ("text", "group"):
        refuse("INSPECT of what is not alphanumeric", target.line)
    found = Block()
    if cursor.take("TALLYING"):
        found.add(_tallying(context, target))
    if cursor.take("REPLACING"):
        note_text(context, target)
        found.add(_replacing(context, target))
    elif cursor.take("CONVERTING"):
        note_text(context, target)
        found.add(_converting(context, target))
    if not found.lines:
        refuse("INSPECT of nothing", target.line)
    return found


def _bounds(context: Context) -> str:
    """BEFORE and AFTER, as two texts or null."""
    before = after = "null"
    while context.cursor.sees("BEFORE", "AFTER"):
        word = context.cursor.next().text
        context.cursor.take("INITIAL")
        given = sign(context, context.expressions.operand())
        if (before if word == "BEFORE" else after) != "null":
            refuse(f"{word} twice", context.cursor.line)
        if before != after:
            refuse("INSPECT with BEFORE and AFTER", context.cursor.line)
        before, after = (given, after) if word == "BEFORE" else (before, given)
    return f"{before}, {after}"


def _tallying(context: Context, target: Operand) -> Block:
    cursor, lines = context.cursor, list[str]()
    while cursor.token.kind == "word" and cursor.token.text in context.names.by_name:
        count = counter(context)
        cursor.need("FOR")
        phrases = 0
        while cursor.sees("ALL", "LEADING", "CHARACTERS"):
            how = cursor.next().text
            while True:
                given = "null" if how == "CHARACTERS" else sign(context, context.expressions.operand())
                lines.append(f".tally({count}, {given}, {'true' if how == 'LEADING' else 'false'}, {_bounds(context)})")
                phrases += 1
                if how == "CHARACTERS" or not _is_value(context):
                    break
        if not phrases:
            refuse(f"INSPECT TALLYING FOR {cursor.token.text}", cursor.line)
    return simple(f"new Inspection({target.java}){''.join(lines)};")


def _is_value(context: Context) -> bool:
    """Whether another text follows, not another counter."""
    token = context.cursor.token
    if token.kind == "text":
        return True
    return token.kind == "word" and token.text in context.names.by_name and context.cursor.ahead(1).text != "FOR"


def _replacing(context: Context, target: Operand) -> Block:
    cursor, lines = context.cursor, list[str]()
    while cursor.sees("ALL", "LEADING", "FIRST", "CHARACTERS"):
        how = cursor.next().text
        while True:
            given = Operand("literal", "?", cursor.line)
            if how != "CHARACTERS":
                given = context.expressions.operand()
            cursor.need("BY")
            by = context.expressions.operand()
            _check_sizes(how, given, by)
            pattern = "null" if how == "CHARACTERS" else sign(context, given)
            kind = f"How.{how if how != 'CHARACTERS' else 'ALL'}"
            lines.append(f".replace({pattern}, {_by(context, given, by)}, {kind}, {_bounds(context)})")
            if how == "CHARACTERS" or not _is_value(context):
                break
    if not lines:
        refuse(f"INSPECT REPLACING {cursor.token.text}", cursor.line)
    return simple(f"new Inspection({target.java}){''.join(lines)}.finish();")


def _size(operand: Operand) -> int:
    """Bytes of a text; 0 where they are known only when it runs."""
    if operand.kind in ("literal", "figurative"):
        return len(operand.java)
    return 0 if operand.item is None or operand.variable else operand.item.size


def _check_sizes(how: str, given: Operand, by: Operand) -> None:
    if by.kind == "figurative" and len(by.java) == 1:
        return
    wanted = 1 if how == "CHARACTERS" else _size(given)
    if not wanted or wanted != _size(by):
        refuse("INSPECT with texts of different or unknown length", by.line)


def _by(context: Context, given: Operand, by: Operand) -> str:
    if by.kind == "figurative":
        return f"new Text({quoted(by.java * max(1, _size(given)))})"
    return sign(context, by)


def _converting(context: Context, target: Operand) -> Block:
    given = context.expressions.operand()
    context.cursor.need("TO")
    by = context.expressions.operand()
    _check_sizes("ALL", given, by)
    if not _size(given):
        refuse("INSPECT CONVERTING of a text of unknown length", given.line)
    first, second = sign(context, given), _by(context, given, by)
    return simple(f"new Inspection({target.java}).convert({first}, {second}, {_bounds(context)});")


TEXTS: Final[Mapping[str, Verb]] = {"STRING": string, "UNSTRING": unstring, "INSPECT": inspect}
