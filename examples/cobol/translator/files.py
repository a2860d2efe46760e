"""Files that are read or written in sequence: SELECT, FD, OPEN, READ, WRITE and CLOSE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from examples.cobol.translator.cursor import Cursor
from examples.cobol.translator.items import File, read_items
from examples.cobol.translator.names import Names
from examples.cobol.translator.source import Token, refuse
from examples.cobol.translator.statements import Block, Context, Verb, either, moved, receiver, simple


def read_selects(cursor: Cursor) -> list[File]:
    """The INPUT-OUTPUT SECTION."""
    cursor.need("SECTION")
    cursor.need(".")
    found = list[File]()
    if cursor.take("FILE-CONTROL"):
        cursor.need(".")
        while cursor.take("SELECT"):
            found.append(_select(cursor))
    if cursor.sees("I-O-CONTROL"):
        refuse("I-O-CONTROL", cursor.line)
    return found


def _select(cursor: Cursor) -> File:
    if cursor.sees("OPTIONAL"):
        refuse("SELECT OPTIONAL", cursor.line)
    name = cursor.word()
    file = File(name.text, name.line, "", by_lines=False)
    while not cursor.take("."):
        token = cursor.next()
        if token.text == "ASSIGN":
            cursor.take("TO")
            path = cursor.next()
            if path.kind != "text" or not re.fullmatch(r"\w[\w.-]*|\./\w[\w.-]*", path.text):
                refuse(f"ASSIGN TO {path.text}", path.line)
            file.path = path.text
        elif token.text in ("ORGANIZATION", "LINE", "SEQUENTIAL", "RECORD"):
            cursor.take("IS")
            cursor.at -= token.text != "ORGANIZATION"
            cursor.take("RECORD")
            file.by_lines = cursor.take("LINE")
            cursor.need("SEQUENTIAL")
        elif token.text == "ACCESS":
            cursor.take("MODE")
            cursor.take("IS")
            cursor.need("SEQUENTIAL")
        elif token.text in ("FILE", "STATUS"):
            cursor.take("STATUS")
            cursor.take("IS")
            file.status = cursor.word().text
        else:
            refuse(f"SELECT with {token.text}", token.line)
    if not file.path:
        refuse("SELECT without ASSIGN TO a literal", file.line)
    return file


def read_records(cursor: Cursor, files: list[File]) -> None:
    """The FILE SECTION."""
    cursor.need("SECTION")
    cursor.need(".")
    while cursor.sees("FD", "SD"):
        token = cursor.next()
        name = cursor.word()
        file = next((one for one in files if one.name == name.text), None)
        if file is None or token.text == "SD" or not cursor.take("."):
            refuse(f"{token.text} {name.text} with {cursor.token.text}", name.line)
        file.records = read_items(cursor)
        if len(file.records) != 1:
            refuse("a file with more than one kind of record", name.line)
        file.records[0].of_file = True
        if file.records[0].category not in ("text", "group"):
            refuse("a record that is a number", name.line)
        for item in file.records[0].all:
            if item.value:
                refuse("VALUE in a record of a file", item.line)
    for file in files:
        if not file.records:
            refuse(f"the file {file.name} without an FD", file.line)


def declared(file: File, names: Names) -> str:
    """The field of the class that is this file."""
    status = "null"
    if file.status:
        item = names.item(file.status, (), file.line)
        if item.category != "text" or item.size != 2 or item.tables or item.right:
            refuse("FILE STATUS in such an item", file.line)
        status = item.java
    by_lines = "true" if file.by_lines else "false"
    record = file.records[0].java
    return f'private final Sequence {java_of(file)} = new Sequence("{file.path}", {record}, {by_lines}, {status});'


def java_of(file: File) -> str:
    """Its name in Java; no item has one that ends so."""
    words = re.split("[-_]+", file.name.lower())
    return f"{words[0]}{''.join(word.capitalize() for word in words[1:])}AsFile"


def _file(context: Context) -> File:
    token = context.cursor.word()
    found = next((file for file in context.names.files if file.name == token.text), None)
    if found is None:
        refuse(f"the file {token.text}", token.line)
    return found


def open_(context: Context) -> Block:
    cursor, lines = context.cursor, list[str]()
    while cursor.sees("INPUT", "OUTPUT", "EXTEND", "I-O"):
        mode = cursor.next()
        if mode.text == "I-O":
            refuse("OPEN I-O", mode.line)
        while cursor.token.text in {file.name for file in context.names.files}:
            lines.append(f"{java_of(_file(context))}.open{mode.text.capitalize()}();")
    if not lines:
        refuse(f"OPEN {cursor.token.text}", cursor.line)
    return simple(*lines)


def close(context: Context) -> Block:
    lines = list[str]()
    while context.cursor.token.text in {file.name for file in context.names.files}:
        lines.append(f"{java_of(_file(context))}.close();")
    if not lines or context.cursor.sees("WITH", "REEL", "UNIT", "NO", "LOCK"):
        refuse(f"CLOSE {context.cursor.token.text}", context.cursor.line)
    return simple(*lines)


def read(context: Context) -> Block:
    cursor, file = context.cursor, _file(context)
    cursor.take("NEXT")
    cursor.take("RECORD")
    context.names.writes(file.records[0], cursor.line)
    before = Block()
    if cursor.take("INTO"):
        record = context.expressions.reference(Token("word", file.records[0].name, cursor.line))
        before = simple(moved(context, record, receiver(context)))
    if cursor.sees("WITH", "KEY", "INVALID", "LOCK", "IGNORE"):
        refuse(f"READ {cursor.token.text}", cursor.line)

    def begins() -> bool:
        return cursor.sees("AT", "END") or cursor.sees_all("NOT", "AT") or cursor.sees_all("NOT", "END")

    ended, well = either(context, begins, "AT", "END")
    cursor.take("END-READ")
    call = f"{java_of(file)}.read({'false' if ended is None else 'true'})"
    before.add(well or Block())
    if not before.lines and ended is None:
        return simple(f"{call};")
    if not before.lines and ended is not None:
        return Block([f"if (!{call} && {java_of(file)}.atEnd()) {{", *ended.indented(), "}"])
    lines = [f"if ({call}) {{", *before.indented()]
    if ended is not None:
        lines += [f"}} else if ({java_of(file)}.atEnd()) {{", *ended.indented()]
    return Block([*lines, "}"])


def write(context: Context) -> Block:
    cursor = context.cursor
    record = receiver(context)
    file = next((one for one in context.names.files if record.item in one.records), None)
    if file is None:
        refuse("WRITE of what is no record", record.line)
    lines = list[str]()
    if cursor.take("FROM"):
        lines.append(moved(context, context.expressions.operand(), record))
    if cursor.sees("AFTER", "BEFORE", "ADVANCING", "INVALID", "AT", "WITH"):
        refuse(f"WRITE {cursor.token.text}", cursor.line)
    cursor.take("END-WRITE")
    return simple(*lines, f"{java_of(file)}.write({record.java});")


FILES: Final[Mapping[str, Verb]] = {"OPEN": open_, "CLOSE": close, "READ": read, "WRITE": write}
