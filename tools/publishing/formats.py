"""A report as the name of its file asks for it: Markdown as it is, one page of HTML, or a Word document.

What is written follows from the Markdown and the pictures alone, byte for byte, so that it can be read back.
"""

from __future__ import annotations

import base64
import html
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal
from unicodedata import bidirectional
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from signoff.error_base import MissingExtra, SettingsError

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph
    from docx.text.run import Run

Format = Literal["markdown", "html", "word"]

_FORMATS: Final[Mapping[str, Format]] = {".html": "html", ".htm": "html", ".docx": "word"}
_UNKNOWN: Final = frozenset({".pdf", ".doc", ".odt", ".rtf", ".epub", ".ppt", ".pptx", ".xls", ".xlsx"})
"""Endings of files that a text with such a name would only be mistaken for."""
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PICTURES: Final = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}
_PICTURE_INCHES: Final = 6.0, 8.0
"""Of a page of Word, what a picture may take across and down; a smaller one keeps its size."""
_DEEPEST: Final = 3
"""Levels of lists that Word's own template has a style for."""
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: break-word; }
h1, h2, h3, h4, h5, h6, p, li, th, td { unicode-bidi: plaintext; }
h1, h2, h3 { line-height: 1.25; margin: 2rem 0 .75rem; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: .25rem solid #8885; }
pre { overflow-x: auto; padding: .75rem; background: #8881; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #8885; padding: .3rem .6rem; text-align: start; vertical-align: top; }
img { max-width: 100%; background: #fff; }
@media print { body { margin: 0; max-width: none; } blockquote, pre, tr, img { break-inside: avoid; } }
"""


def format_of(path: str) -> Format:
    """How a report is written to a file of this name.

    SettingsError for a kind of file that a report cannot be written as, MissingExtra if its library is not installed.
    """
    ending = PurePath(path).suffix.lower()
    if ending in _UNKNOWN:
        problem = f"no report can be written as {ending}"
        raise SettingsError(repr(path), problem, "Name a file that ends in .md, .html or .docx.")
    form = _FORMATS.get(ending, "markdown")
    if form == "word" and find_spec("docx") is None:
        raise MissingExtra(f"Writing {path!r}", "documents")
    return form


def render(form: Format, markdown: str, attached: Mapping[str, bytes]) -> tuple[bytes, frozenset[str]]:
    """The file's content, and the names of what is attached that is in it; the rest belongs beside it.

    A page and a Word document have in them the pictures that the Markdown shows, Markdown itself has none. ValueError
    if the text is no UTF-8, or a picture is damaged.
    """
    raw = markdown.encode("utf-8")
    if form == "markdown":
        return raw, frozenset()
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_NO_XML.sub("\ufffd", markdown))
    pictures = {name: raw for name, raw in attached.items() if _kind_of(raw)}
    shown = set[str]()
    for child in (child for token in tokens for child in token.children or ()):
        if child.type == "image" and (name := _source(child.attrs)) in pictures:
            shown.add(name)
        elif child.type == "image":  # never fetched by whoever reads it
            child.type, child.content, child.children = "text", f"{child.content} ({name})", None
    root = SyntaxTreeNode(tokens)
    title = next((_text(node) for node in root.children if node.type == "heading"), "Report")
    if form == "html":
        return _page(title, parser, tokens, pictures).encode("utf-8"), frozenset(shown)
    return _Word(title, pictures).written(root), frozenset(shown)


def _kind_of(raw: bytes) -> str:
    """What kind of picture it is, by its first bytes; empty for what no reader of pages and documents need show."""
    return next((kind for first, kind in _PICTURES.items() if raw.startswith(first)), "")


def _source(attrs: Mapping[str, Any]) -> str:
    return unquote(str(attrs.get("src", "")))


def _text(node: SyntaxTreeNode) -> str:
    if node.type in ("softbreak", "hardbreak"):
        return " "
    return node.content if node.type in ("text", "code_inline") else "".join(map(_text, node.children))


def _runs_leftwards(text: str) -> bool:
    """Whether the first letter that says so belongs to a script that is written from right to left."""
    ways = (bidirectional(letter) for letter in text)
    return next((way for way in ways if way in ("L", "R", "AL")), "L") != "L"


def _page(title: str, parser: MarkdownIt, tokens: Sequence[Token], pictures: Mapping[str, bytes]) -> str:
    """One file that loads nothing from anywhere."""
    for child in (child for token in tokens for child in token.children or ()):
        if child.type == "image":
            raw = pictures[_source(child.attrs)]
            child.attrSet("src", f"data:image/{_kind_of(raw)};base64,{base64.b64encode(raw).decode('ascii')}")
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{parser.renderer.render(tokens, parser.options, {})}</body>\n</html>\n"
    )


@dataclass(frozen=True)
class _Look:
    """How a run of text looks."""

    bold: bool = False
    italic: bool = False
    link: str = ""

    def within(self, node: SyntaxTreeNode) -> _Look:
        return _Look(
            bold=self.bold or node.type == "strong",
            italic=self.italic or node.type == "em",
            link=str(node.attrs.get("href", "")) if node.type == "link" else self.link,
        )


class _Word:
    """A Word document that is being written."""

    def __init__(self, title: str, pictures: Mapping[str, bytes]) -> None:
        from docx import Document

        self._document, self._pictures = Document(), pictures
        about = self._document.core_properties
        about.title, about.author, about.comments = title[:255], "", ""

    def written(self, root: SyntaxTreeNode) -> bytes:
        self._blocks(root.children, "Normal")
        saved, same = io.BytesIO(), io.BytesIO()
        self._document.save(saved)
        # Packed anew without the time of day: what is written twice is the same.
        with zipfile.ZipFile(saved) as parts, zipfile.ZipFile(same, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in parts.namelist():
                packed.writestr(zipfile.ZipInfo(name), parts.read(name), zipfile.ZIP_DEFLATED)
        return same.getvalue()

    def _blocks(self, nodes: Sequence[SyntaxTreeNode], style: str, depth: int = 0) -> None:
        for node in nodes:
            if node.type == "heading":
                self._line(self._document.add_heading(level=min(int(node.tag[1:]), 9)), node)
            elif node.type == "paragraph":
                self._line(self._document.add_paragraph(style=style), node)
            elif node.type == "blockquote":
                self._blocks(node.children, "Intense Quote" if depth else "Quote", depth)
            elif node.type in ("bullet_list", "ordered_list"):
                self._list(node, min(depth + 1, _DEEPEST))
            elif node.type == "table":
                self._table(node)
            elif node.type in ("fence", "code_block"):
                self._code(node.content)
            elif node.type == "hr":
                self._document.add_paragraph("* * *", style=style)

    def _list(self, node: SyntaxTreeNode, depth: int) -> None:
        """Numbers are written out, as Word would go on counting from one list to the next."""
        ordered, level = node.type == "ordered_list", f" {depth}" if depth > 1 else ""
        for number, item in enumerate(node.children, int(node.attrs.get("start", 1))):
            words = item.children[:1] if item.children and item.children[0].type == "paragraph" else []
            line = self._document.add_paragraph(
                f"{number}. " if ordered else "", f"List{level}" if ordered else f"List Bullet{level}"
            )
            for paragraph in words:
                self._line(line, paragraph)
            self._blocks(item.children[len(words) :], f"List Continue{level}", depth)

    def _table(self, node: SyntaxTreeNode) -> None:
        rows = [row.children for part in node.children for row in part.children]
        table = self._document.add_table(rows=len(rows), cols=max(map(len, rows)), style="Table Grid")
        for row, cells in zip(table.rows, rows, strict=True):
            for cell, content in zip(row.cells, cells, strict=False):
                self._line(cell.paragraphs[0], content, _Look(bold=content.type == "th"))

    def _code(self, code: str) -> None:
        run = self._document.add_paragraph(style="No Spacing").add_run(code.rstrip("\n"))
        run.font.name = "Courier New"

    def _line(self, line: Paragraph, node: SyntaxTreeNode, look: _Look = _Look()) -> None:
        """A paragraph that is filled; one in Hebrew or Arabic begins at the right."""
        from docx.oxml import OxmlElement

        self._inline(line, node, look)
        if _runs_leftwards(line.text):
            line._p.get_or_add_pPr().append(OxmlElement("w:bidi"))

    def _inline(self, line: Paragraph, node: SyntaxTreeNode, look: _Look) -> None:
        for part in node.children:
            if part.type == "image":
                self._picture(line, part)
            elif part.type in ("text", "code_inline", "softbreak", "hardbreak"):
                self._run(line, part, look)
            else:
                self._inline(line, part, look.within(part))

    def _run(self, line: Paragraph, part: SyntaxTreeNode, look: _Look) -> None:
        run = line.add_run(" " if part.type == "softbreak" else part.content)
        if look.bold:
            run.bold = True
        if look.italic:
            run.italic = True
        if _runs_leftwards(part.content):
            run.font.rtl = True
        if part.type == "hardbreak":
            run.add_break()
        if part.type == "code_inline":
            run.font.name = "Courier New"
        if look.link.startswith(("http://", "https://", "mailto:")):
            self._link(line, run, look.link)

    def _link(self, line: Paragraph, run: Run, address: str) -> None:
        from docx.opc.constants import RELATIONSHIP_TYPE
        from docx.oxml import OxmlElement
        from docx.oxml.ns import qn

        link = OxmlElement("w:hyperlink")
        link.set(qn("r:id"), line.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True))
        run.font.underline = True
        link.append(run._r)
        line._p.append(link)

    def _picture(self, line: Paragraph, node: SyntaxTreeNode) -> None:
        from docx.shared import Emu, Inches

        name = _source(node.attrs)
        try:
            picture = line.add_run().add_picture(io.BytesIO(self._pictures[name]))
            size = picture.width, picture.height
            scale = min(1, *(Inches(most) / of for most, of in zip(_PICTURE_INCHES, size, strict=True)))
            picture.width, picture.height = (Emu(round(of * scale)) for of in size)
        except Exception as error:  # the library raises anything when a picture is damaged
            raise ValueError(f"{name!r} cannot be put into a Word document: it is damaged") from error
        picture._inline.docPr.set("descr", node.content)
