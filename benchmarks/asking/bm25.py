"""What somebody gets in an afternoon: paragraphs in SQLite's FTS5, ordered by BM25. It shares no code with signoff."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import html

BLOCKS = frozenset("p li dt dd pre h1 h2 h3 h4 h5 h6 tr blockquote div section table ul ol dl".split())
SMALLEST = 300
"""Paragraphs are joined until a passage has so many characters."""


class PlainBm25:
    """A folder's passages, searched by the words of a question."""

    def __init__(self, folder: Path, database: Path) -> None:
        self._db = sqlite3.connect(database)
        self._db.execute(
            "CREATE VIRTUAL TABLE passages USING fts5(text, path UNINDEXED, tokenize = 'porter unicode61')"
        )
        self.unread: list[str] = []
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = str(file.relative_to(folder))
            try:
                passages = list(passages_of(read_plainly(file)))
            except (ValueError, KeyError) as error:
                self.unread.append(f"{name}: {error}")
                continue
            self._db.executemany("INSERT INTO passages VALUES (?, ?)", [(text, name) for text in passages])
        self._db.commit()

    def search(self, question: str, limit: int) -> list[str]:
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", question.lower())))
        rows = self._db.execute(
            "SELECT text FROM passages WHERE passages MATCH ? ORDER BY bm25(passages) LIMIT ?", (words, limit)
        )
        return [text for (text,) in rows]

    def close(self) -> None:
        self._db.close()


def passages_of(text: str) -> Iterator[str]:
    """Paragraphs, joined to their next while they are short."""
    held = ""
    for paragraph in re.split(r"\n\s*\n", text):
        held = f"{held}\n\n{paragraph}".strip()
        if len(held) >= SMALLEST:
            yield held
            held = ""
    if held:
        yield held


def read_plainly(file: Path) -> str:
    """The text of a document, paragraphs apart by blank lines."""
    readers = {".html": _html, ".htm": _html, ".docx": _docx, ".pdf": _pdf, ".xlsx": _xlsx}
    if file.suffix in readers:
        return readers[file.suffix](file)
    return file.read_text(encoding="utf-8", errors="replace")


def _docx(file: Path) -> str:
    import docx

    document = docx.Document(str(file))
    rows = ("  ".join(cell.text for cell in row.cells) for table in document.tables for row in table.rows)
    return "\n\n".join([*(paragraph.text for paragraph in document.paragraphs), "\n".join(rows)])


def _pdf(file: Path) -> str:
    import pypdf

    return "\n\n".join(page.extract_text() for page in pypdf.PdfReader(file).pages)


def _xlsx(file: Path) -> str:
    import openpyxl

    sheets = []
    for sheet in openpyxl.load_workbook(file, read_only=True).worksheets:
        sheet.reset_dimensions()  # some programs write wrong ones
        rows = sheet.iter_rows(values_only=True)
        sheets.append("\n".join("  ".join("" if value is None else str(value) for value in row) for row in rows))
    return "\n\n".join(sheets)


def _html(file: Path) -> str:
    tree = html.fromstring(file.read_bytes())
    for element in list(tree.iter("script", "style", "head")):
        element.drop_tree()
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", "".join(_pieces(tree))).strip()


def _pieces(element: Any) -> Iterator[str]:
    if isinstance(element.tag, str):
        apart = "\n\n" if element.tag in BLOCKS else "\n" if element.tag == "br" else ""
        yield apart
        yield (element.text or "") if element.tag == "pre" else _even(element.text)
        for child in element:
            yield from _pieces(child)
        yield apart
    yield _even(element.tail)


def _even(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "")
