"""Word documents (.docx) to blocks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from signoff.tools.documents.archive import check_archive
from signoff.tools.documents.blocks import Block, flatten, join_items, unreadable_if_damaged
from signoff.tools.documents.tabular import row_lines

LARGEST = 200_000_000
"""Bytes a document may have once it is unpacked."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_GONE = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}footnoteReference", f"{_W}pPr", f"{_W}rPr"})
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_LEVEL = re.compile(r"heading (\d)", re.IGNORECASE)


def read_word(raw: bytes) -> tuple[str, list[Block]]:
    """Title and blocks of a Word document, as it reads with all changes accepted."""
    import docx

    locked = raw.startswith(b"\xd0\xcf\x11\xe0")
    with unreadable_if_damaged("a locked or old Word file; save it as .docx" if locked else "a damaged Word file"):
        check_archive(raw, LARGEST)
        document = docx.Document(io.BytesIO(raw))
    styles = {style.style_id: style.name or "" for style in document.styles if hasattr(style, "style_id")}
    blocks = list(join_items(_blocks(document.element.body, styles)))
    title = flatten(document.core_properties.title or "")
    first = blocks[0] if blocks and blocks[0].kind == "heading" else None
    return (first.text if first and first.level == 1 else title), blocks


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[Block]:
    """What stands in a body, a cell or a content control, in order."""
    for node in parent:
        if node.tag == f"{_W}p":
            yield from _paragraph(node, styles)
        elif node.tag == f"{_W}tbl":
            yield from _table(node)
        elif node.tag not in _GONE:
            yield from _blocks(node, styles)


def _paragraph(node: Any, styles: dict[str, str]) -> Iterator[Block]:
    text = flatten(_text(node))
    style = node.find(f"{_W}pPr/{_W}pStyle")
    name = styles.get(style.get(f"{_W}val") if style is not None else "", "")
    level = _LEVEL.fullmatch(name)
    if not text:
        return
    if level or name.lower() == "title":
        yield Block("heading", text, int(level[1]) + 1 if level else 1)
    elif name.lower().startswith("list") or node.find(f"{_W}pPr/{_W}numPr") is not None:
        depth = node.find(f"{_W}pPr/{_W}numPr/{_W}ilvl")
        indent = int(depth.get(f"{_W}val", "0")) if depth is not None else 0
        yield Block("list", f"{'  ' * min(indent, 8)}- {text}")
    elif not name.lower().startswith("toc "):
        yield Block("prose", text)


def _text(node: Any) -> str:
    """The text inside, with insertions and without deletions."""
    if node.tag in _GONE or node.tag == _FALLBACK:
        return ""
    if node.tag == f"{_W}t":
        return node.text or ""
    if node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
        return " "
    if node.tag == f"{_W}noBreakHyphen":
        return "-"
    end = " " if node.tag == f"{_W}p" else ""
    return "".join(_text(inner) for inner in node) + end


def _table(table: Any) -> Iterator[Block]:
    """Rows under the names in the first row, or 'first cell: second cell' if there is one row or no names."""
    rows = [[flatten(_text(cell)) for cell in row.iter(f"{_W}tc")] for row in table.iter(f"{_W}tr")]
    names = rows[0] if rows else []
    headed = len(rows) > 1 and len(names) > 1 and all(names) and len(set(names)) == len(names)
    yield Block("table", "\n".join(row_lines(names if headed else (), rows[1:] if headed else rows)))
