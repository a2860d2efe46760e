"""IF, EVALUATE, PERFORM, GO TO, EXIT and SEARCH, as Java's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from examples.cobol.translator.operands import Operand
from examples.cobol.translator.source import refuse
from examples.cobol.translator.statements import Block, Context, Paragraph, Verb, moved, receiver, simple, statements


def if_(context: Context) -> Block:
    condition = context.expressions.condition()
    context.cursor.take("THEN")
    if context.cursor.sees_all("NEXT", "SENTENCE"):
        refuse("NEXT SENTENCE", context.cursor.line)
    then, otherwise = statements(context), Block()
    if has_else := context.cursor.take("ELSE"):
        if context.cursor.sees_all("NEXT", "SENTENCE"):
            refuse("NEXT SENTENCE", context.cursor.line)
        otherwise = statements(context)
    context.cursor.take("END-IF")
    lines = [f"if ({bare(condition)}) {{", *then.indented()]
    if has_else and len(otherwise.lines) > 0 and otherwise.lines[0].startswith("if (") and _is_one_if(otherwise):
        lines += [f"}} else {otherwise.lines[0]}", *otherwise.lines[1:]]
    elif has_else and otherwise.lines:
        lines += ["} else {", *otherwise.indented(), "}"]
    else:
        lines.append("}")
    return Block(lines, ends=has_else and then.ends and otherwise.ends)


def _is_one_if(block: Block) -> bool:
    """Whether the lines are one if, with all its branches."""
    return all(line.startswith((" ", "}")) for line in block.lines[1:]) and block.lines[-1] == "}"


def evaluate(context: Context) -> Block:
    cursor = context.cursor
    subjects = [_subject(context)]
    while cursor.take("ALSO"):
        subjects.append(_subject(context))
    lines, has_other, all_end = list[str](), False, True
    while cursor.sees("WHEN"):
        line = cursor.line
        conditions, other = list[str](), False
        while cursor.take("WHEN"):
            if cursor.take("OTHER"):
                other = True
            else:
                conditions.append(_when(context, subjects))
        block = statements(context)
        all_end = all_end and block.ends
        if has_other or (other and conditions):
            refuse("WHEN behind WHEN OTHER", line)
        has_other = other
        head = f"if ({bare(' || '.join(conditions))}) {{"
        if other and not lines:
            refuse("EVALUATE with WHEN OTHER alone", line)
        lines += ["} else {" if other else f"}} else {head}" if lines else head, *block.indented()]
    cursor.take("END-EVALUATE")
    if not lines:
        refuse("EVALUATE without WHEN", cursor.line)
    return Block([*lines, "}"], ends=has_other and all_end)


def _subject(context: Context) -> Operand | bool:
    if context.cursor.sees("TRUE", "FALSE"):
        return context.cursor.next().text == "TRUE"
    return context.expressions.arithmetic()


def _when(context: Context, subjects: list[Operand | bool]) -> str:
    parts = list[str]()
    for number, subject in enumerate(subjects):
        if number:
            context.cursor.need("ALSO")
        parts.append(_matched(context, subject))
    found = [part for part in parts if part]
    return " && ".join(found) if len(found) == 1 else f"({' && '.join(found)})" if found else "true"


def _matched(context: Context, subject: Operand | bool) -> str:
    cursor = context.cursor
    if cursor.take("ANY"):
        return ""
    if isinstance(subject, bool):
        if cursor.sees("TRUE", "FALSE"):
            refuse("EVALUATE TRUE with WHEN TRUE", cursor.line)
        condition = context.expressions.condition()
        return f"({condition})" if subject else f"!({condition})"
    denied = cursor.take("NOT")
    first = context.expressions.arithmetic()
    if cursor.take("THRU", "THROUGH"):
        last = context.expressions.arithmetic()
        low = context.expressions.compared(subject, ">=", first)
        made = f"({low} && {context.expressions.compared(subject, '<=', last)})"
    else:
        made = context.expressions.compared(subject, "==", first)
    return f"!({made})" if denied else made


# PERFORM


def perform(context: Context) -> Block:
    cursor = context.cursor
    names = {one.name for one in context.paragraphs} | {one.section for one in context.paragraphs}
    called: list[str] | None = None
    if cursor.token.text in names and cursor.ahead(1).text != "TIMES":
        called = _range(context)
    after = False
    if cursor.take("WITH") or cursor.sees("TEST"):
        cursor.need("TEST")
        after = cursor.need("BEFORE", "AFTER").text == "AFTER"
    if cursor.take("UNTIL"):
        return _until(context, called, after)
    if cursor.take("VARYING"):
        return _varying(context, called, after)
    if called is not None and not (cursor.token.is_number and cursor.ahead(1).text == "TIMES"):
        if not _is_counted(context):
            return simple(*called)
    elif not cursor.token.is_number and not _is_counted(context):
        if called is None and (cursor.token.text in context.verbs or cursor.sees("END-PERFORM")):
            return _once(context)
        refuse(f"PERFORM {cursor.token.text}", cursor.line)
    return _times(context, called)


def _is_counted(context: Context) -> bool:
    """Whether `item TIMES` is next."""
    cursor = context.cursor
    if cursor.token.is_number:
        return cursor.ahead(1).text == "TIMES"
    start, reads = cursor.at, len(context.names.read)
    if cursor.token.kind != "word" or cursor.token.text not in context.names.by_name:
        return False
    context.expressions.operand()
    found = cursor.sees("TIMES")
    cursor.at = start
    del context.names.read[reads:]
    return found


def _range(context: Context) -> list[str]:
    """Calls of the paragraphs that are performed."""
    cursor = context.cursor
    first = _find(context)
    last = first
    if cursor.take("THRU", "THROUGH"):
        last = _find(context)
    if last[1] < first[0]:
        refuse("PERFORM THRU a paragraph that stands before", cursor.line)
    return [f"{{{{{first[0]}:{last[1]}}}}}"]


def _find(context: Context) -> tuple[int, int]:
    """The first and last place of a paragraph or section."""
    token = context.cursor.next()
    if context.cursor.sees("OF", "IN"):
        refuse("a paragraph OF a section", token.line)
    found = [at for at, one in enumerate(context.paragraphs) if one.name == token.text]
    section = [at for at, one in enumerate(context.paragraphs) if one.section == token.text]
    if (found and section) or len(found) > 1:
        refuse(f"the name {token.text}, which more than one paragraph has", token.line)
    if not found and not section:
        refuse(f"the paragraph {token.text}", token.line)
    places = found or section
    return places[0], places[-1]


def _body(context: Context, called: list[str] | None) -> Block:
    """What is repeated: the paragraphs, or the statements up to END-PERFORM."""
    if called is not None:
        return simple(*called)
    context.loops += 1
    context.cycles = False
    block = statements(context)
    context.cursor.need("END-PERFORM")
    context.loops -= 1
    return block


def _once(context: Context) -> Block:
    block = _body(context, None)
    if any("break;" in line or "continue;" in line for line in block.lines):
        refuse("EXIT PERFORM of what is not repeated", context.cursor.line)
    return block


_LITERAL: Final = re.compile(r'"(?:\\.|[^"\\])*"')
_RELATION: Final = re.compile(r"([^|&!]+) (==|!=|<=|>=|<|>) 0")
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def bare(condition: str) -> str:
    """A condition without parentheses around all of it."""
    masked = _LITERAL.sub(lambda match: "_" * len(match[0]), condition)
    depths = accumulate((sign == "(") - (sign == ")") for sign in masked)
    closed = next((at for at, depth in enumerate(depths) if not depth), -1)
    is_around = masked[:1] == "(" and closed == len(masked) - 1
    return bare(condition[1:-1]) if is_around else condition


def unless(condition: str) -> str:
    """The opposite of a condition."""
    condition = bare(condition)
    simple_one = _RELATION.fullmatch(condition)
    return f"{simple_one[1]} {_OPPOSITE[simple_one[2]]} 0" if simple_one else f"!({condition})"


def _until(context: Context, called: list[str] | None, after: bool) -> Block:
    if context.cursor.sees("EXIT"):
        refuse("PERFORM UNTIL EXIT", context.cursor.line)
    condition = context.expressions.condition()
    body = _body(context, called)
    if after and body.ends:
        refuse("PERFORM WITH TEST AFTER of what is not repeated", context.cursor.line)
    if after:
        return Block(["do {", *body.indented(), f"}} while ({unless(condition)});"])
    return Block([f"while ({unless(condition)}) {{", *body.indented(), "}"])


def _times(context: Context, called: list[str] | None) -> Block:
    count = context.expressions.sum()
    context.cursor.need("TIMES")
    name = f"times{context.loops + 1}" if context.loops else "times"
    body = _body(context, called)
    return Block([f"for (int {name} = {count}.intValue(); {name} > 0; {name}--) {{", *body.indented(), "}"])


def _varying(context: Context, called: list[str] | None, after: bool) -> Block:
    heads = [_control(context)]
    while context.cursor.take("AFTER"):
        heads.append(_control(context))
    body = _body(context, called)
    if after and (len(heads) > 1 or context.cycles):
        refuse("PERFORM WITH TEST AFTER VARYING such a loop", context.cursor.line)
    start, condition, step = heads[0]
    if after:
        inner = [*body.indented(), *([] if body.ends else [f"    if ({condition}) {{", "        break;", "    }"])]
        return Block([f"{start};", f"for (; ; {step}) {{", *inner, "}"])
    lines = body.lines
    for number, (start, condition, step) in enumerate(reversed(heads)):
        last = number == len(heads) - 1
        lines = [f"for ({start}; {unless(condition)}; {step}) {{", *(f"    {line}" for line in lines), "}"]
        if not last:
            lines = [*lines, f"{start};"]
    if len(heads) > 1 and any("break;" in line or "continue;" in line for line in body.lines):
        refuse("EXIT PERFORM in PERFORM VARYING AFTER", context.cursor.line)
    return Block(lines)


def _control(context: Context) -> tuple[str, str, str]:
    """The start, the condition of the end, and the step of a loop."""
    cursor = context.cursor
    item = receiver(context)
    if item.kind != "number":
        refuse("PERFORM VARYING what is no number", item.line)
    cursor.need("FROM")
    first = context.expressions.operand()
    start = moved(context, first, item)[:-1]
    if item.item is not None and item.item.name in context.names.indexes:
        start = f"{item.java}.set({context.expressions.value(first)})"
    cursor.need("BY")
    amount = context.expressions.value(context.expressions.operand())
    cursor.need("UNTIL")
    condition = context.expressions.condition()
    return start, condition, f"{context.expressions.use(item).java}.add({amount})"


def exit_(context: Context) -> Block:
    cursor = context.cursor
    if cursor.take("PERFORM"):
        if not context.loops:
            refuse("EXIT PERFORM outside of one", cursor.line)
        if cursor.take("CYCLE"):
            context.cycles = True
            return Block(["continue;"], ends=True)
        return Block(["break;"], ends=True)
    if cursor.take("PARAGRAPH"):
        return Block(["return;"], ends=True)
    if cursor.token.kind == "word":
        refuse(f"EXIT {cursor.token.text}", cursor.line)
    return Block()


def go(context: Context) -> Block:
    context.cursor.take("TO")
    first, _ = _find(context)
    if context.cursor.token.kind == "word" and context.cursor.token.text in {one.name for one in context.paragraphs}:
        refuse("GO TO DEPENDING ON", context.cursor.line)
    context.jumps = True
    return Block([f"throw new Jump({first});"], ends=True)


CONTROL: Final[Mapping[str, Verb]] = {
    "IF": if_,
    "EVALUATE": evaluate,
    "PERFORM": perform,
    "EXIT": exit_,
    "GO": go,
}


def called(paragraphs: list[Paragraph], first: int, last: int, *, jumps: bool) -> list[str]:
    """Calls of these paragraphs, one after the other."""
    if jumps:
        return [f"perform({first}, {last});"]
    return [f"{one.java}();" for one in paragraphs[first : last + 1]]
