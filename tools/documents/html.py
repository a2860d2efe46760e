"""HTML and Markdown to blocks."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signoff.tools.documents.blocks import CHAPTER, Block, flatten
from signoff.tools.documents.plain_text import decode, is_charset
from signoff.tools.documents.tabular import row_lines

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline

Element = Any
"""An element of lxml, which has no types."""

_WORDS = tomllib.loads(Path(__file__).with_name("markup.toml").read_text(encoding="utf-8"))["html"]
_DROPPED, _BLOCKS = frozenset(_WORDS["dropped"].split()), frozenset(_WORDS["blocks"].split())
_ROLES, _CLASSES = frozenset(_WORDS["dropped_roles"].split()), frozenset(_WORDS["dropped_classes"].split())
_NEIGHBOURS = frozenset(_WORDS["dropped_links"].split())
_LISTS = ("ul", "ol", "menu")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MARK = re.compile(r"\[?\s*(?:\d+|[*†‡]|[a-z])\s*\]?")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
_FOOTNOTE = re.compile(r"\[\^[\w.-]+\]")
_NOTE = re.compile(r"^\[\^[\w.-]+\]:[ \t]*", re.MULTILINE)
_CONTAINER = re.compile(r"^[ \t]*:{3,}.*$|^import (?:[\w$*{][^\n]*? from )?['\"][^'\"\n]+['\"];?[ \t]*$", re.MULTILINE)
"""What generators of sites read of a Markdown text: `:::` around notes, and imports of MDX."""
_ALERT = re.compile(r"^(\s*>\s*)\[!\w+\]\s*$", re.MULTILINE)
_DEEPEST = 400
"""Elements nested deeper than this are read as one run of text."""


def read_page(raw: bytes) -> tuple[str, list[Block]]:
    """Title and blocks of a page in the encoding that it says it has, if a page can have it."""
    stated = _CHARSET.search(raw[:4096])
    name = stated[1].decode("ascii") if stated else ""
    if name and is_charset(name) and not raw.startswith(codecs.BOM_UTF8):
        with suppress(LookupError):  # it is one of bytes, not of text
            return read_html(raw.decode(name, "replace"))
    return read_html(decode(raw))


def read_markdown(text: str) -> tuple[str, list[Block]]:
    """Title and blocks of a Markdown text, by way of HTML."""
    front = _FRONT.match(text)
    named = _FRONT_TITLE.search(front[1]) if front else None
    body = text[front.end() :] if front else text
    body = _NOTE.sub("\n", _ALERT.sub(r"\1", _CONTAINER.sub("", body)))
    title, blocks = read_html(_render(body))
    return (named[1] if named else title), blocks


def _render(text: str) -> str:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("link", "footnote", _skip_footnote)
    return str(parser.render(text))


def _skip_footnote(state: StateInline, _silent: bool) -> bool:
    """Rule for markdown-it: the mark of a footnote stands for nothing."""
    found = _FOOTNOTE.match(state.src, state.pos)
    state.pos = found.end() if found else state.pos
    return found is not None


def read_html(text: str) -> tuple[str, list[Block]]:
    """Title and blocks of a page: its main part, without navigation, scripts and hidden text."""
    from lxml import etree, html

    if not text.strip():
        return "", []
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:  # nothing but comments
        return "", []
    body = _main(root)
    headings = [flatten("".join(node.itertext())) for node in body.iter("h1")]
    is_named = any(headings[:1]) and not (len(headings) > 1 and CHAPTER.match(headings[0]))
    named = flatten(root.findtext(".//title") or "")
    blocks = list(_Flow().read(body))
    first = next((block for block in blocks if block.kind == "heading"), None)
    return (first.text if is_named and first and first.level == 1 else named), blocks


def _main(root: Element) -> Element:
    """The part of the page that holds its content."""
    whole = len("".join(root.itertext()))
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = root.findall(path)
        if len(found) == 1 and len("".join(found[0].itertext())) * 5 > whole:
            return found[0]
    return root


def _is_dropped(node: Element) -> bool:
    if not isinstance(node.tag, str) or node.tag in _DROPPED:
        return True
    if node.tag == "header":
        return not any(inner.tag in _HEADINGS for inner in node.iter())
    if node.tag == "sup" and node.find(".//a") is not None:
        return bool(_MARK.fullmatch(flatten("".join(node.itertext()))))
    if node.tag == "a" and flatten("".join(node.itertext())) in ("¶", "#", "§", "🔗"):
        return True
    if node.tag == "a" and (node.get("accesskey") or not _NEIGHBOURS.isdisjoint((node.get("rel") or "").split())):
        return True
    named = node.get("class") or ""
    return (
        node.get("hidden") is not None
        or node.get("aria-hidden") == "true"
        or node.get("role") in _ROLES
        or bool(_HIDDEN.search(node.get("style") or ""))
        or not _CLASSES.isdisjoint(named.split())
    )


class _Flow:
    """Reads an element from its first character to its last, gathering text until a block ends."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._term = ""
        self._lists: list[int] = []
        """Of each list being read, the number of the next item; 0 in one without numbers."""
        self._items: list[str] = []
        self._fresh = False
        """Whether the next text begins an item."""

    def read(self, root: Element) -> Iterator[Block]:
        from lxml import etree

        depth = 0
        passed: Element | None = None
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, node in walk:
            tag = node.tag
            if event == "end":
                depth -= 1
                if node is passed:
                    passed = None
                else:
                    yield from self._end(tag)
                self._words.append(node.tail or "" if node is not root else "")
                continue
            depth += 1
            if node is not root and _is_dropped(node):
                passed = node
            elif tag == "pre" or (tag == "table" and _is_data(node)) or tag in _HEADINGS:
                yield from self._whole(node)
                passed = node
            elif depth > _DEEPEST:
                self._words.append("".join(node.itertext()))
                passed = node
            else:
                yield from self._start(node)
                self._words.append(node.text or "")
            if passed is not None:
                walk.skip_subtree()
        yield from self._close_list()
        yield from self._flush()

    def _start(self, node: Element) -> Iterator[Block]:
        tag = node.tag
        if tag in _BLOCKS:
            yield from self._flush()
        if tag in _LISTS:
            self._lists.append(_number(node.get("start")) if tag == "ol" else 0)
        elif tag == "li":
            self._fresh = True
        elif tag == "br":
            self._words.append(" ")
        elif tag in ("sup", "sub") and flatten("".join(node.itertext())).isalnum():
            self._words.append("^" if tag == "sup" else "_")

    def _end(self, tag: str) -> Iterator[Block]:
        if tag == "dt":
            term = flatten("".join(self._words))
            self._words = []
            self._term = f"{self._term}, {term}" if self._term and term else self._term or term
        elif tag in _BLOCKS:
            yield from self._flush()
        if tag in _LISTS and self._lists:
            self._lists.pop()
            if not self._lists:
                yield from self._close_list()
        elif tag == "dl" and self._term:
            term, self._term = self._term, ""
            yield Block("prose", term)

    def _whole(self, node: Element) -> Iterator[Block]:
        """A heading, a table or preformatted text, taken at once."""
        yield from self._flush()
        if node.tag in _HEADINGS:
            title = flatten("".join(_shown(node)))
            if title and not self._lists:
                yield Block("heading", title, _HEADINGS[node.tag])
            elif title:
                self._words.append(title)
                yield from self._flush()
            return
        yield from self._close_list()
        if node.tag == "pre":
            yield Block("code", "".join(_shown(node)).strip("\n"))
            return
        caption = flatten(" ".join(text for found in node.findall("caption") for text in _shown(found)))
        if caption:
            yield Block("prose", caption)
        rows = [[flatten("".join(_shown(cell))) for cell in row if cell.tag in ("td", "th")] for row in node.iter("tr")]
        first = next(node.iter("tr"))
        headed = len(rows) > 1 and all(cell.tag == "th" for cell in first if cell.tag in ("td", "th"))
        yield Block("table", "\n".join(row_lines(rows[0] if headed else (), rows[1:] if headed else rows)))

    def _flush(self) -> Iterator[Block]:
        text = flatten("".join(self._words))
        self._words = []
        if not text:
            return
        term, self._term = self._term, ""
        if term and len(term) > 200:
            yield from self._put(term)
        elif term:
            text = f"{term.rstrip(':')}: {text}"
        yield from self._put(text)

    def _put(self, text: str) -> Iterator[Block]:
        if not self._lists or not (self._fresh or self._items):  # in no list, or going on after code in an item
            yield Block("prose", text)
            return
        indent = "  " * (len(self._lists) - 1)
        mark = "  "
        if self._fresh:
            number = self._lists[-1]
            mark = f"{number}. " if number else "- "
            self._lists[-1] += 1 if number else 0
            self._fresh = False
        self._items.append(f"{indent}{mark}{text}")

    def _close_list(self) -> Iterator[Block]:
        if self._items:
            items, self._items = self._items, []
            yield Block("list", "\n".join(items))


def _shown(node: Element) -> Iterator[str]:
    """The text of an element, without what is dropped inside it."""
    from lxml import etree

    walk = etree.iterwalk(node, events=("start", "end"))
    for event, inner in walk:
        if event == "end":
            yield inner.tail or "" if inner is not node else ""
        elif inner is not node and _is_dropped(inner):
            walk.skip_subtree()
        else:
            yield "\n" if inner.tag == "br" else " " if inner.tag in _BLOCKS else ""
            yield inner.text or ""


def _is_data(table: Element) -> bool:
    """Whether a table holds rows of data, not the layout of a page."""
    rows = list(table.iter("tr"))
    inner: Iterable[Element] = table.iter("table", "ul", "ol", "pre", "h1", "h2", "h3", "p")
    blocks = sum(1 for node in inner if node is not table)
    return bool(rows) and max(len(row) for row in rows) > 1 and blocks <= 2 * len(rows)


def _number(start: str | None) -> int:
    return int(start) if start and start.isdecimal() and len(start) < 6 else 1
