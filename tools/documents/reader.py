"""What kind of document a file is, and its text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path, PurePosixPath
from typing import Any

from signoff.error_base import MissingExtra
from signoff.tools.documents.blocks import Block, Document, compose, unreadable_if_damaged
from signoff.tools.documents.plain_text import decode, read_plain
from signoff.tools.errors import Unreadable

Reading = tuple[str, list[Block]]
"""Title, empty if the document names none, and blocks."""

_IN_EXTRA = {"pdf": "PDF files", "word": "Word documents", "rst": "reStructuredText", "markdown": "reStructuredText"}
"""Kinds whose libraries are in the extra `documents`, and what a person calls them; of Markdown only what is none."""

READABLE = ".md .txt .rst .html .pdf .docx .csv .json, source code"
"""What to say when nothing could be read."""

_FILE = tomllib.loads((Path(__file__).parent / "kinds.toml").read_text(encoding="utf-8"))
_KIND_OF: dict[str, str] = {suffix: kind for kind, suffixes in _FILE["kinds"].items() for suffix in suffixes.split()}
_NEVER_TEXT = frozenset(_FILE["never_text"].split())
_UNTITLED = frozenset({"csv", "tsv", "json", "jsonl", "python", "code"})
"""Kinds whose headings are names of parts, so that none of them can stand for the whole."""
LONGEST_TEXT = 50_000_000
"""Characters that a document may have: few bytes of a file can stand for many."""
_RST = re.compile(r"^\.\. (?:_\S.*:|\||[\w-]+::)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_HEAVY = 2_000_000
"""Bytes from which markup and code are read as plain text, because parsing them would take minutes."""


def kind_of(name: str) -> str:
    """The kind of a file by its name; 'text' when only its content can tell; Unreadable if it is none."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _NEVER_TEXT:
        raise Unreadable(f"{suffix} files cannot be read")
    return _KIND_OF.get(suffix, "text")


def read_document(name: str, raw: bytes) -> Document:
    """The document in a file; Unreadable if there is no text in it, MissingExtra if its kind needs one."""
    kind = kind_of(name)
    if not raw.strip():
        raise Unreadable("empty")
    with unreadable_if_damaged():
        try:
            title, blocks = _reader(kind, len(raw))(raw)
        except RecursionError as error:
            raise Unreadable("its parts are nested too deeply") from error
        except ImportError as error:
            if kind not in _IN_EXTRA:
                raise
            raise MissingExtra(f"Reading {_IN_EXTRA[kind]}", "documents") from error
    document = compose(title or (PurePosixPath(name).name if kind in _UNTITLED else ""), blocks)
    if not document.spans:
        raise Unreadable("no text in it")
    return document if document.title else replace(document, title=PurePosixPath(name).name)


def read_document_parts(name: str, raw: bytes) -> Iterator[list[Any]]:
    """Title, text and spans of the document in a file; Unreadable if there is too much text in it, or none."""
    document = read_document(name, raw)
    if len(document.text) > LONGEST_TEXT:
        raise Unreadable(f"{len(document.text):,} characters of text; {LONGEST_TEXT:,} is the limit")
    yield [document.title, document.text, [astuple(span) for span in document.spans]]


def _reader(kind: str, size: int) -> Callable[[bytes], Reading]:
    """The reader for a kind. What it needs is imported here, so that one format does not load the others' libraries."""
    match kind:
        case "pdf":
            from signoff.tools.documents.pdf import read_pdf as read
        case "word":
            from signoff.tools.documents.docx import read_word as read
        case "html":
            from signoff.tools.documents.html import read_page as read
        case _:
            read_text = _text_reader("text" if size > _HEAVY and kind in ("rst", "markdown", "python") else kind)
            return lambda raw: read_text(decode(raw))
    return read


def _read_marked(text: str) -> Reading:
    """Markdown, or reStructuredText in a file that is called so: many a README is copied into one."""
    if len(_RST.findall(text)) > 1 and not _HEADING.search(text):
        from signoff.tools.documents.rst import read_rst

        return read_rst(text)
    from signoff.tools.documents.html import read_markdown

    return read_markdown(text)


def _text_reader(kind: str) -> Callable[[str], Reading]:
    match kind:
        case "markdown":
            return _read_marked
        case "rst":
            from signoff.tools.documents.rst import read_rst as read
        case "tsv":
            from signoff.tools.documents.tabular import read_tsv as read
        case "csv":
            from signoff.tools.documents.tabular import read_csv as read
        case "json":
            from signoff.tools.documents.tabular import read_json as read
        case "jsonl":
            from signoff.tools.documents.tabular import read_json_lines as read
        case "python":
            from signoff.tools.documents.source_code import read_python as read
        case "code":
            from signoff.tools.documents.source_code import read_code as read
        case "notebook":
            from signoff.tools.documents.source_code import read_notebook as read
        case _:
            return read_plain
    return read
