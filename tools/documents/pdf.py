"""PDF to blocks: lines are put back together to paragraphs by their place and size on the page."""

from __future__ import annotations

import io
import logging
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from signoff.tools.documents.blocks import Block, flatten, join_items, unreadable_if_damaged
from signoff.tools.documents.plain_text import body_places, unwrap, vocabulary
from signoff.tools.errors import Unreadable

if TYPE_CHECKING:
    from pypdf import PdfReader

_ITEM = re.compile(r"(?:[•◦▪●∙·–‣*-]|\(?\d{1,2}[.)]|\([a-z]\))\s+(?=\S)")
_LONE = re.compile(r"[•◦▪●∙‣]")
_BULLET = re.compile(r"[•◦▪●∙·‣*]\s+")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_SIGNS = str.maketrans(_LIGATURES | {chr(code): "•" for code in (0x7F, *range(0xF000, 0xF100))})
"""What stands for letters, and what symbol fonts have in the place of bullets."""
_NUMBERED = re.compile(r"\d{1,2}(?:\.\d{1,2})*\.?\s+\w")
_LEADERS = re.compile(r"(?:\s*\.){4,}\s*\d*\s*$")
_ENDS = (".", "!", "?", ":", ";", "”", '"', "…")


@dataclass(frozen=True)
class Line:
    """One line of a page."""

    text: str
    y: float
    """Height on the page in points, from below; nan if not known."""
    size: float
    """Of its letters, in points; 0 if not known."""


def read_pdf(raw: bytes) -> tuple[str, list[Block]]:
    """Title and blocks of a PDF that holds text; Unreadable if it is locked, damaged or only pictures."""
    from pypdf.errors import DependencyError

    with _quiet(), unreadable_if_damaged("a damaged PDF"):
        try:
            pages, title = _extract(raw)
        except DependencyError as error:
            raise Unreadable("a locked PDF; save it without a password") from error
    kept = body_places([[line.text for line in page] for page in pages])
    lines = [page[place] for page, places in zip(pages, kept, strict=True) for place in places]
    if not any(line.text.strip() for line in lines):
        raise Unreadable("a PDF without text, such as a scan")
    blocks = list(join_items(_blocks([line for line in lines if not _LEADERS.search(line.text)])))
    return _largest(pages, blocks) or title, blocks


def _largest(pages: Sequence[Sequence[Line]], blocks: Sequence[Block]) -> str:
    """The heading in the largest letters, if it stands on the first page; titles in properties are often stale."""
    first = flatten(" ".join(line.text for line in pages[0])) if pages else ""
    headings = [block for block in blocks if block.kind == "heading" and block.level == 1]
    return headings[0].text if headings and headings[0].text in first and len(headings[0].text) > 3 else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf from logging each fault it finds: the reader says once whether the file can be read."""
    log = logging.getLogger("pypdf")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _extract(raw: bytes) -> tuple[list[list[Line]], str]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("a locked PDF; save it without a password")
    pages: list[list[Line]] = []
    for page in reader.pages:
        runs: list[tuple[str, float, float]] = []

        def visit(text: str, above: Any, own: Any, _: Any, size: float, runs: Any = runs) -> None:
            height = math.hypot(own[2], own[3]) * math.hypot(above[2], above[3])
            y = own[4] * above[1] + own[5] * above[3] + above[5]
            runs.append((text, y, abs(float(size or 0)) * height))

        page.extract_text(visitor_text=visit)
        pages.append(list(_lines(runs)))
    return pages, _title(reader)


def _title(reader: PdfReader) -> str:
    """The title in the file's properties, if it is one."""
    named = flatten(str(reader.metadata.title or "")) if reader.metadata else ""
    is_file = re.search(r"\.\w{2,5}$|^untitled|^microsoft word|^document\d*$|^\(?anonymous", named, re.IGNORECASE)
    return "" if is_file or len(named) < 4 else named


def _lines(runs: Sequence[tuple[str, float, float]]) -> Iterator[Line]:
    """Put runs of characters together to lines; a bullet that stands alone goes with the line after it."""
    text, y, sizes = "", math.nan, Counter[float]()
    for run, height, size in (*runs, ("\n", math.nan, 0.0)):
        for at, part in enumerate(run.split("\n")):
            said = text.translate(_SIGNS).strip()
            if at and said and not _LONE.fullmatch(said):
                yield Line(said, y, sizes.most_common(1)[0][0] if sizes else 0.0)
            if at:
                text = f"{said} " if _LONE.fullmatch(said) else ""
                y, sizes = math.nan, Counter()
            if part.strip():
                y = height if math.isnan(y) else y
                sizes[round(size, 1)] += len(part)
            text += part


def _blocks(lines: Sequence[Line]) -> Iterator[Block]:
    known = vocabulary(line.text for line in lines)
    sizes = Counter[float]()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted({line.size for line in lines if _is_heading(line, body)}, reverse=True)
    width = statistics.quantiles([len(line.text) for line in lines], n=10)[-1] if len(lines) > 1 else 80.0
    leading = _leading(lines, body)
    group: list[Line] = []
    for line in lines:
        if group and _breaks(group[-1], line, body, width, leading):
            yield _block(group, body, larger, known)
            group = []
        group.append(line)
    if group:
        yield _block(group, body, larger, known)


def _leading(lines: Sequence[Line], body: float) -> float:
    """The usual distance between two lines of the body; 0 if not known."""
    gaps = [
        round(above.y - below.y, 1)
        for above, below in pairwise(lines)
        if above.size == below.size == body and 0 < above.y - below.y < 3 * max(body, 1)
    ]
    return Counter(gaps).most_common(1)[0][0] if gaps else 0.0


def _is_heading(line: Line, body: float) -> bool:
    return bool(body) and line.size > body * 1.08 and len(line.text) < 150 and any(map(str.isalpha, line.text))


def _breaks(above: Line, below: Line, body: float, width: float, leading: float) -> bool:
    """Whether a new block begins with the lower line."""
    if _is_heading(above, body) or _is_heading(below, body):
        goes_on = 0 < above.y - below.y < 1.45 * above.size and not _NUMBERED.match(below.text)
        return above.size != below.size or not goes_on
    if _ITEM.match(below.text):
        return True
    gap = above.y - below.y
    ended = above.text.endswith(_ENDS)
    if ended and len(above.text) < 0.7 * width:
        return True
    # On to the next column or page, a paragraph that has not ended goes on.
    return gap > leading * 1.25 if leading and gap > 0 else ended and not math.isnan(gap)


def _block(group: Sequence[Line], body: float, larger: Sequence[float], known: frozenset[str]) -> Block:
    text = unwrap((line.text for line in group), known, soft=True)
    if _is_heading(group[0], body):
        return Block("heading", text, 1 + larger.index(group[0].size))
    bullet = _BULLET.match(text)
    return Block("list", f"- {text[bullet.end() :]}" if bullet else text) if _ITEM.match(text) else Block("prose", text)
