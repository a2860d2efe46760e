"""A whole program: its divisions read, and the Java class that it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from examples.cobol.translator.arithmetic import ARITHMETIC
from examples.cobol.translator.control import CONTROL, called
from examples.cobol.translator.cursor import Cursor
from examples.cobol.translator.files import FILES, declared, read_records, read_selects
from examples.cobol.translator.items import FIGURATIVE, File, Item, read_items
from examples.cobol.translator.names import Names
from examples.cobol.translator.operands import quoted
from examples.cobol.translator.source import Refused, has_decimal_comma, prepared, refuse, tokens_of
from examples.cobol.translator.statements import BASIC, Context, Paragraph, Verb, statements
from examples.cobol.translator.texts import TEXTS

VERBS: Final[Mapping[str, Verb]] = {**BASIC, **ARITHMETIC, **CONTROL, **TEXTS, **FILES}
RUNTIME: Final = Path(__file__).with_name("Cobol.java")
"""What all translated programs stand on."""
_TAKEN: Final = frozenset(
    "Cobol String System Object Math Integer BigDecimal Num Text Group Edited Item Stop Jump Usage Rounding Piece "
    "Limit Into How Inspection Sequence Opening Exception RuntimeException ArithmeticException Override".split()
)
"""Classes that a translated program refers to."""
_CALL: Final = re.compile(r"( *)\{\{(\d+):(\d+)\}\}")


def class_name(program: Path) -> str:
    """The Java class of a file: pay-roll.cob is PayRoll."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", program.stem) if word]
    made = "".join(word[0].upper() + word[1:] for word in words) or "Program"
    made = made if made[0].isalpha() else f"Program{made}"
    return f"{made}Program" if made in _TAKEN else made


def translate(source: str, name: str) -> str:
    """The Java of a program as the class `name`; Refused for what is not in the subset."""
    if not source.isascii():
        at = next(number for number, line in enumerate(source.splitlines(), 1) if not line.isascii())
        refuse("characters that are not ASCII", at)
    cursor = Cursor(prepared(tokens_of(source)))
    if cursor.done:
        raise Refused("a program of nothing", 1)
    _identification(cursor)
    files = _environment(cursor)
    records = _data(cursor, files)
    names = Names(records, files)
    for file in files:
        names.writes(file.records[0], file.line)
    names.decimal_comma = has_decimal_comma(source)
    context = _procedure(cursor, names)
    names.check_digits()
    return "\n".join(_emitted(name, context)) + "\n"


def _identification(cursor: Cursor) -> None:
    if cursor.take("IDENTIFICATION", "ID"):
        cursor.need("DIVISION")
        cursor.need(".")
    if cursor.sees("FUNCTION-ID", "CLASS-ID"):
        refuse(cursor.token.text, cursor.line)
    cursor.need("PROGRAM-ID")
    cursor.take(".")
    cursor.next()
    cursor.take("IS")
    cursor.take("RECURSIVE")
    if cursor.token.kind == "word" and not cursor.sees("ENVIRONMENT", "DATA", "PROCEDURE"):
        refuse(f"PROGRAM-ID with {cursor.token.text}", cursor.line)
    cursor.take(".")
    while cursor.sees("AUTHOR", "INSTALLATION", "DATE-WRITTEN", "DATE-COMPILED", "SECURITY", "REMARKS"):
        refuse(cursor.token.text, cursor.line)


def _environment(cursor: Cursor) -> list[File]:
    if not cursor.take("ENVIRONMENT"):
        return []
    cursor.need("DIVISION")
    cursor.need(".")
    if cursor.take("CONFIGURATION"):
        cursor.need("SECTION")
        cursor.need(".")
        _configuration(cursor)
    return read_selects(cursor) if cursor.take("INPUT-OUTPUT") else []


def _configuration(cursor: Cursor) -> None:
    while cursor.sees("SOURCE-COMPUTER", "OBJECT-COMPUTER", "SPECIAL-NAMES", "REPOSITORY"):
        paragraph = cursor.next()
        cursor.need(".")
        if paragraph.text == "REPOSITORY":
            for word in ("FUNCTION", "ALL", "INTRINSIC", "."):
                cursor.need(word)
        elif paragraph.text == "SPECIAL-NAMES":
            cursor.need("DECIMAL-POINT")
            cursor.take("IS")
            cursor.need("COMMA")
            cursor.need(".")
        elif cursor.take("."):
            pass
        else:
            cursor.word()
            cursor.take_all("WITH", "DEBUGGING", "MODE")
            cursor.need(".")


def _data(cursor: Cursor, files: list[File]) -> list[Item]:
    records = list[Item]()
    if cursor.take("DATA"):
        cursor.need("DIVISION")
        cursor.need(".")
    if cursor.take("FILE"):
        read_records(cursor, files)
        records = [file.records[0] for file in files]
    if cursor.take("WORKING-STORAGE"):
        cursor.need("SECTION")
        cursor.need(".")
        records += read_items(cursor)
    if not cursor.sees("PROCEDURE"):
        refuse(f"{cursor.token.text} in the DATA DIVISION", cursor.line)
    return records


# The PROCEDURE DIVISION


def _procedure(cursor: Cursor, names: Names) -> Context:
    cursor.need("PROCEDURE")
    cursor.need("DIVISION")
    if cursor.sees("USING", "RETURNING"):
        refuse(f"PROCEDURE DIVISION {cursor.token.text}", cursor.line)
    cursor.need(".")
    if cursor.sees("DECLARATIVES"):
        refuse("DECLARATIVES", cursor.line)
    context = Context(cursor, names, list(_paragraphs(cursor, names)), VERBS)
    at = 0
    while not cursor.done:
        if cursor.sees_all("END", "PROGRAM"):
            cursor.at += 3
            cursor.take(".")
            if not cursor.done:
                refuse("more than one program in a file", cursor.line)
            break
        at += _header(cursor)
        paragraph = context.paragraphs[at]
        context.paragraph = paragraph
        while not cursor.done and not _is_header(cursor) and not cursor.sees_all("END", "PROGRAM"):
            paragraph.block.add(statements(context))
            if cursor.token.kind == "word" and not cursor.sees("."):
                refuse(f"{cursor.token.text} where a statement is expected", cursor.line)
            cursor.need(".")
    return context


def _is_header(cursor: Cursor) -> bool:
    """Whether a paragraph or section begins here, behind a period."""
    token = cursor.token
    if token.kind not in ("word", "number") or (cursor.at and cursor.ahead(-1).text != "."):
        return False
    if cursor.ahead(1).text == "SECTION" and cursor.ahead(1).kind == "word":
        return True
    return cursor.ahead(1).kind == "end" and token.text not in VERBS and token.text != "GOBACK"


def _header(cursor: Cursor) -> int:
    """Go past headers; how many paragraphs begin, without the one that a section begins with."""
    found = 0
    while not cursor.done and _is_header(cursor):
        is_section = cursor.ahead(1).text == "SECTION"
        cursor.at += 3 if is_section else 2
        if is_section and cursor.ahead(-1).text != ".":
            refuse("a section with a number", cursor.line)
        found += 1
        if not _is_header(cursor):
            break
    return found


def _paragraphs(cursor: Cursor, names: Names) -> Iterator[Paragraph]:
    """All paragraphs, found before any is read; what stands before the first has no name."""
    start, section = cursor.at, ""
    yield Paragraph("", names.java_name("main-paragraph"), "")
    while not cursor.done:
        if _is_header(cursor):
            token = cursor.token
            if cursor.ahead(1).text == "SECTION":
                section = token.text
                yield Paragraph("", names.java_name(token.text, prefix="section"), section)
            else:
                yield Paragraph(token.text, names.java_name(token.text), section)
        cursor.at += 1
    cursor.at = start


# Java


def _emitted(name: str, context: Context) -> Iterator[str]:
    used = [one for one in context.paragraphs if one.block.lines or one.name]
    body = list(_methods(context, used))
    text = "\n".join(body)
    if "BigDecimal" in text:
        yield "import java.math.BigDecimal;"
        yield ""
    yield f"public final class {name} extends Cobol {{"
    yield from _fields(context.names)
    if context.names.decimal_comma:
        yield ""
        yield "    static {"
        yield "        point = ',';"
        yield "    }"
    yield ""
    yield "    public static void main(String[] arguments) {"
    yield f"        new {name}().start();"
    yield "    }"
    yield ""
    yield from body
    yield "}"


def _fields(names: Names) -> Iterator[str]:
    for record in names.records:
        setters = list[str]()
        for item in record.all:
            made = _declared(item, record)
            if item.name:
                yield f"    private final {_class(item)} {item.java} = {made};"
            elif item is record:
                item.java = names.java_name("filler")
                yield f"    private final {_class(item)} {item.java} = {made};"
            elif not item.children and not item.is_over and (item.value or item.category in ("number", "edited")):
                setters.append(made)
        if setters:
            yield "    {"
            yield from (f"        {setter};" for setter in setters)
            yield "    }"
        for item in record.all:
            for index in item.indexes:
                yield f"    private final Num {names.indexes[index]} = index();"
    for file in names.files:
        yield f"    {declared(file, names)}"


def _class(item: Item) -> str:
    return {"group": "Group", "text": "Text", "number": "Num", "edited": "Edited"}[item.category]


def _declared(item: Item, record: Item) -> str:
    """What makes an item: alone, or as a part of its record."""
    base = record.base
    alone = item is record and base is None
    over = ".over()" if item.is_over else ""
    head = "" if alone else f"{record.java}{over}." if item is not record or base is None else f"{base.java}.over()."
    place = "" if alone else f"{item.offset}"
    sep = ", " if place else ""
    if item.children:
        made = f"new Group({item.size})" if alone else f"{head}group({place}, {item.size})"
    elif item.category == "text":
        made = f"{head}text({place}{sep}{item.size})" + (".right()" if item.right else "")
    elif item.category == "edited":
        made = f'{head}edited({place}{sep}"{item.picture}")' + (".blankWhenZero()" if item.blank else "")
        made += ".zero(true)" if item.blank and not item.is_over else ""
    else:
        usage = item.sign or item.usage
        how = "" if usage == "DISPLAY" else f", Usage.{usage}"
        made = f'{head}num({place}{sep}"{_short(item.picture)}"{how})'
    for table in item.tables:
        made += f".occurs({table.occurs}, {table.size})"
    return f'{made}.filled("\\u0000")' if item.of_file else made + _valued(item)


def _short(picture: str) -> str:
    """The picture with more than three of a symbol as `9(4)`."""
    return re.sub(r"(9)\1{3,}", lambda match: f"9({len(match[0])})", picture)


def _valued(item: Item) -> str:
    if not item.value:
        return ""
    token, category = item.value[0], item.category
    line = token.line
    if token.kind == "word":
        text = item.value[1].text if token.text == "ALL" else FIGURATIVE[token.text]
        if category == "number" and text == "0":
            return ""
        if category not in ("text", "group") or (item.is_over and item.redefines):
            refuse(f"VALUE {token.text} of what is not alphanumeric", line)
        return f".filled({quoted(text)})"
    if token.kind == "text":
        if category == "number":
            refuse("VALUE of a text for a number", line)
        if len(token.text) > item.size:
            refuse("VALUE that is longer than its item", line)
        if item.right:
            refuse("VALUE of a JUSTIFIED item", line)
        return f".value({quoted(token.text)})"
    if category != "number":
        refuse("VALUE of a number for what is none", line)
    sign, whole, decimals = re.fullmatch(r"([+-]?)(\d*)\.?(\d*)", token.text).groups()  # type: ignore[union-attr]
    if len(whole.lstrip("0")) > item.digits - item.scale or len(decimals.rstrip("0")) > item.scale:
        refuse("VALUE that its item has no place for", line)
    if sign == "-" and not item.signed:
        refuse("VALUE with a sign for a number without", line)
    return f'.value("{token.text.removeprefix("+")}")'


def _methods(context: Context, used: list[Paragraph]) -> Iterator[str]:
    paragraphs = context.paragraphs
    reached = list[str]()
    for one in used:
        reached.append(f"{one.java}();")
        if one.block.ends:
            break
    yield "    @Override"
    yield "    void run() {"
    if context.jumps:
        yield f"        perform(0, {len(paragraphs) - 1});"
    else:
        yield from (f"        {call}" for call in reached)
    yield "    }"
    if context.jumps:
        yield ""
        yield "    @Override"
        yield "    void paragraph(int number) {"
        yield "        switch (number) {"
        for number, one in enumerate(paragraphs):
            if one in used:
                yield f"            case {number} -> {one.java}();"
        yield "            default -> { }"
        yield "        }"
        yield "    }"
        yield ""
        yield "    @Override"
        yield "    int lastParagraph() {"
        yield f"        return {len(paragraphs) - 1};"
        yield "    }"
    for one in used:
        yield ""
        yield f"    private void {one.java}() {{"
        for line in one.block.lines:
            match = _CALL.fullmatch(line)
            if match is None:
                yield f"        {line}"
                continue
            first, last = int(match[2]), int(match[3])
            for call in called(paragraphs, first, last, jumps=context.jumps):
                if context.jumps or any(f"{one.java}();" == call for one in used):
                    yield f"        {match[1]}{call}"
        yield "    }"
