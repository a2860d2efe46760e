"""A table as Markdown, HTML, CSV and a workbook: no value of others acts as markup or as a formula there."""

from __future__ import annotations

import csv
import html
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Final

from signoff.agents.artifacts.table import Cell, Span, Table
from signoff.wording import as_words, make_visible, one_line

_LONGEST: Final = 160
"""Characters of a value that stand in a table of a text; all of it stands in the files."""
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"[-+]?\d[\d.,]*%?")
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_CHARACTERS: Final = 32_000
"""Of a cell of a workbook: Excel takes no more."""
_EVIDENCE: Final = ("row", "column", "state", "value", "source", "start", "span", "sha256", "date", "origin", "note")
_PARTS: Final = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="Table" sheetId="1" r:id="r1"/><sheet name="Evidence" sheetId="2" r:id="r2"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    + "".join(
        f'<Relationship Id="r{number}" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
        f'Target="worksheets/sheet{number}.xml"/>'
        for number in (1, 2)
    )
    + "</Relationships>",
}
"""What a workbook of two sheets is made of beside them."""


def markdown(table: Table, corner: str = "") -> str:
    """The table in Markdown; each cell that has evidence with its number, as [12]."""
    lines = [_line([as_words(corner), *(as_words(column.name) for column in table.columns)])]
    lines.append(_line(["---"] * (len(table.columns) + 1)))
    lines += [_line([as_words(row), *(_said(table, cell) for cell in table.row(row))]) for row in table.rows]
    return "\n".join(lines)


def evidence(table: Table, cells: Sequence[Cell] | None = None) -> str:
    """What each of the cells rests on, numbered as in the table; all that have any unless some are named."""
    lines = []
    for cell in table.cells if cells is None else cells:
        if cell.facts:
            lines.append(f"- \\[{table.number(cell)}\\] {as_words(cell.row)}, {as_words(cell.column)}")
            for fact in cell.facts:
                quoted = "; ".join(f"“{as_words(span.text)}” ({_place(span)})" for span in fact.spans)
                lines.append(f"    - {as_words(fact.value)}: {quoted}")
    return "\n".join(lines)


def html_of(table: Table, corner: str = "") -> str:
    """The table as HTML that loads nothing; a cell opens on what it rests on."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in (corner, *(column.name for column in table.columns)))
    rows = "\n".join(
        f"<tr><th>{_escaped(row)}</th>{''.join(f'<td>{_opening(cell)}</td>' for cell in table.row(row))}</tr>"
        for row in table.rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def csv_of(table: Table, corner: str = "") -> str:
    """One line for each row, a value or its state in each cell."""
    return _csv(_grid(table, corner))


def evidence_csv(table: Table) -> str:
    """One line for each span, and for each cell that has none."""
    return _csv(_records(table))


def xlsx_of(table: Table, corner: str = "") -> bytes:
    """A workbook of two sheets, the table and its evidence: the same bytes for the same table."""
    sheets = {
        f"xl/worksheets/sheet{number}.xml": _sheet(rows)
        for number, rows in enumerate((_grid(table, corner), _records(table)), 1)
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in (_PARTS | sheets).items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            book.writestr(entry, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{content}')
    return file.getvalue()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _said(table: Table, cell: Cell) -> str:
    shown = cell.shown if len(cell.shown) <= _LONGEST else f"{cell.shown[: _LONGEST - 1]}…"
    number = f" [{table.number(cell)}]" if cell.facts else ""
    if cell.state == "found":
        return as_words(shown) + number
    return f"**{as_words(shown)}**{number}" if cell.state == "contradiction" else f"*{shown}*"


def _place(span: Span) -> str:
    where = as_words(span.origin or f"{span.source}, {span.date}")
    return f"{where}, from character {span.start}, digest {span.sha256[:12]}"


def _opening(cell: Cell) -> str:
    shown = _escaped(cell.shown)
    if not cell.facts:
        why = cell.problem or (f"read: {', '.join(cell.read)}" if cell.read else "nothing was read")
        return f'<em title="{_escaped(why)}">{shown}</em>'
    spans = "".join(
        f"<li>{_escaped(fact.value)}: <q>{_escaped(span.text)}</q> ({_escaped(span.origin or span.source)}, "
        f"{_escaped(span.date)}, from {span.start}, {span.sha256[:12]})</li>"
        for fact in cell.facts
        for span in fact.spans
    )
    return f"<details><summary>{shown}</summary><ul>{spans}</ul></details>"


def _escaped(text: str) -> str:
    return html.escape(make_visible(one_line(text)))


def _grid(table: Table, corner: str) -> Iterator[Sequence[str]]:
    yield (corner, *(column.name for column in table.columns))
    for row in table.rows:
        yield (row, *(cell.value or cell.shown for cell in table.row(row)))


def _records(table: Table) -> Iterator[Sequence[str]]:
    yield _EVIDENCE
    for cell in table.cells:
        if not cell.facts:
            note = cell.problem or (f"read: {', '.join(cell.read)}" if cell.read else "nothing was read")
            yield (cell.row, cell.column, cell.state, *[""] * 7, note)
        for fact in cell.facts:
            for span in fact.spans:
                place = (span.source, str(span.start), span.text, span.sha256, span.date, span.origin)
                yield (cell.row, cell.column, cell.state, fact.value, *place, "")


def _csv(rows: Iterator[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_defused(value) for value in row] for row in rows)
    return file.getvalue()


def _defused(value: str) -> str:
    """The value so that no spreadsheet takes it for a formula."""
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def _sheet(rows: Iterator[Sequence[str]]) -> str:
    """Texts only, which no spreadsheet computes."""
    lines = "".join(f"<row>{''.join(map(_text_cell, row))}</row>" for row in rows)
    return f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{lines}</sheetData></worksheet>'


def _text_cell(value: str) -> str:
    text = html.escape(_NO_XML.sub("\ufffd", value)[:_MOST_CHARACTERS], quote=False)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
