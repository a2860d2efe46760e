"""Office files made of `papers.toml`: DOCX, PDF, HTML, XLSX and CSV, as a program of an office would write them."""

import csv
import io
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("papers.toml")
PLAIN, BOLD = 11, 16
"""Sizes of letters in a PDF."""


def papers() -> list[dict[str, Any]]:
    read = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return list(read["papers"])


def write_papers(folder: Path) -> None:
    for paper in papers():
        write_paper(paper, folder / paper["file"])


def write_paper(paper: dict[str, Any], file: Path) -> None:
    """Write one in the format that its name ends with."""
    file.parent.mkdir(parents=True, exist_ok=True)
    makers = {".docx": _docx, ".pdf": _pdf, ".html": _html, ".xlsx": _xlsx, ".csv": _csv}
    file.write_bytes(makers[file.suffix](paper["title"], paper["sections"]))


def _docx(title: str, sections: Sequence[dict[str, Any]]) -> bytes:
    import docx

    document = docx.Document()
    document.add_heading(title, 0)
    for section in sections:
        document.add_heading(section["heading"], 1)
        for paragraph in section.get("paragraphs", ()):
            document.add_paragraph(paragraph)
        for item in section.get("items", ()):
            document.add_paragraph(item, style="List Bullet")
        if hidden := section.get("hidden"):
            document.add_paragraph().add_run(hidden).font.hidden = True
        if rows := section.get("rows"):
            table = document.add_table(len(rows), len(rows[0]))
            for cells, values in zip(table.rows, rows, strict=True):
                for cell, value in zip(cells.cells, values, strict=True):
                    cell.text = str(value)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _html(title: str, sections: Sequence[dict[str, Any]]) -> bytes:
    body = "".join(
        f"<h2>{escape(section['heading'])}</h2>\n"
        + "".join(f"<p>{escape(paragraph)}</p>\n" for paragraph in section.get("paragraphs", ()))
        for section in sections
    )
    page = f"<!doctype html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
    return page.encode()


def _xlsx(title: str, sections: Sequence[dict[str, Any]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = title
    for row in sections[0]["rows"]:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _csv(_title: str, sections: Sequence[dict[str, Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(sections[0]["rows"])
    return out.getvalue().encode()


def _pdf(title: str, sections: Sequence[dict[str, Any]]) -> bytes:
    """One page, of lines at their places: a PDF knows no paragraphs."""
    shown = []
    height = 800
    for size, line in _lines(title, sections):
        height -= abs(size) + 5
        text = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        mode = 3 if size < 0 else 0
        shown.append(f"BT /F1 {abs(size)} Tf {mode} Tr 1 0 0 1 50 {height} Tm ({text}) Tj ET" if line else "")
    stream = "\n".join(shown).encode("cp1252")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 3 0 R >> >> >>",
        b"<< /Title (%s) >>" % title.encode("cp1252"),
    )
    raw, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(raw))
        raw += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(objects) + 1)
    return raw + head + table + tail + b"startxref\n%d\n%%%%EOF\n" % len(raw)


def _lines(title: str, sections: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """Each line of a page and the size of its letters, below zero if they are not to be seen."""
    yield from ((BOLD + 4, line) for line in textwrap.wrap(title, 50))
    for section in sections:
        yield PLAIN, ""
        yield BOLD, section["heading"]
        for paragraph in section.get("paragraphs", ()):
            yield PLAIN, ""
            yield from ((PLAIN, line) for line in textwrap.wrap(paragraph, 90))
        if hidden := section.get("hidden"):
            yield -PLAIN, hidden
