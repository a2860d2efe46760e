"""What kind of document a file is, and its text."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from signoff.tools.documents.blocks import Block, Document, compose
from signoff.tools.documents.plain_text import decode
from signoff.tools.errors import Unreadable

Reading = tuple[str, list[Block]]
"""Title, empty if the document names none, and blocks."""

READABLE = ".md .txt .rst .html .pdf .docx .csv .json, source code"
"""What to say when nothing could be read."""

_FILE = tomllib.loads((Path(__file__).parent / "kinds.toml").read_text(encoding="utf-8"))
_KIND_OF: dict[str, str] = {suffix: kind for kind, suffixes in _FILE["kinds"].items() for suffix in suffixes.split()}
_NEVER_TEXT = frozenset(_FILE["never_text"].split())
_UNTITLED = frozenset({"csv", "json", "jsonl", "python", "code"})
"""Kinds whose headings are names of parts, so that none of them can stand for the whole."""
_HEAVY = 2_000_000
"""Bytes from which markup and code are read as plain text, because parsing them would take minutes."""


def kind_of(name: str) -> str:
    """The kind of a file by its name; 'text' when only its content can tell; Unreadable if it is none."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _NEVER_TEXT:
        raise Unreadable(f"{suffix} files cannot be read")
    return _KIND_OF.get(suffix, "text")


def read_document(name: str, raw: bytes) -> Document:
    """The document in a file; Unreadable if there is no text in it."""
    kind = kind_of(name)
    if not raw.strip():
        raise Unreadable("empty")
    try:
        title, blocks = _reader(kind, len(raw), name)(raw)
    except RecursionError as error:
        raise Unreadable("its parts are nested too deeply") from error
    except Unreadable:
        raise
    except Exception as error:  # the formats' libraries raise anything when a file is damaged in a new way
        raise Unreadable(f"damaged, or not what its name says ({type(error).__name__})") from error
    document = compose(title or (PurePosixPath(name).name if kind in _UNTITLED else ""), blocks)
    if not document.spans:
        raise Unreadable("no text in it")
    return document if document.title else replace(document, title=PurePosixPath(name).name)


def _reader(kind: str, size: int, name: str) -> Callable[[bytes], Reading]:
    """The reader for a kind. What it needs is imported here, so that one format does not load the others' libraries."""
    if kind == "pdf":
        from signoff.tools.documents.pdf import read_pdf

        return read_pdf
    if kind == "word":
        from signoff.tools.documents.docx import read_word

        return read_word
    if kind == "html":
        return _read_page
    read = _text_reader("text" if size > _HEAVY and kind in ("rst", "markdown", "python") else kind, name)
    return lambda raw: read(decode(raw))


def _read_page(raw: bytes) -> Reading:
    from signoff.tools.documents.html import charset, read_html

    stated = charset(raw)
    try:
        return read_html(
            raw.decode(stated, "replace") if stated and not raw.startswith(b"\xef\xbb\xbf") else decode(raw)
        )
    except LookupError:  # no such encoding
        return read_html(decode(raw))


def _text_reader(kind: str, name: str) -> Callable[[str], Reading]:
    if kind == "markdown":
        from signoff.tools.documents.html import read_markdown

        return read_markdown
    if kind == "rst":
        from signoff.tools.documents.rst import read_rst

        return read_rst
    if kind in ("csv", "json", "jsonl"):
        from signoff.tools.documents import tabular as tables

        if kind == "csv":
            return lambda text: tables.read_csv(text, "\t" if name.lower().endswith((".tsv", ".tab")) else "")
        return tables.read_json if kind == "json" else tables.read_json_lines
    if kind in ("python", "code", "notebook"):
        from signoff.tools.documents import source_code as program

        return {"python": program.read_python, "code": program.read_code, "notebook": program.read_notebook}[kind]
    from signoff.tools.documents.plain_text import read_plain

    return read_plain
