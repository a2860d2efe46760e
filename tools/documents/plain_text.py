"""Plain text: bytes to characters, lines to paragraphs."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from signoff.tools.documents.blocks import Block, flatten
from signoff.tools.errors import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDERLINE = re.compile(r"([=\-~^*_#])\1{2,}\s*")
_HASHES = re.compile(r" {0,3}(#{1,6})\s+(\S.*?)\s*#*")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3})*)\.?\s+[A-Z][^.!?;,:]*")
_ITEM = re.compile(r"\s*(?:[-*+•‣◦▪–]|o(?=  )|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s+(?=\S)")
_GAP = re.compile(r"\S(?:   |\t)\s*\S")
_DRAWN = re.compile(r"[─-╿]|\s*[+|][-=+|]{3}")
_RUNNING = (re.compile(r"^(\d{1,5})\s+\S"), re.compile(r"\S\W(\d{1,5})\W?(?:\s*(?:of|/)\s*\d{1,5})?\W?$"))
_PAGE_NUMBER = re.compile(r"\W*(?:page\s+)?[\divxlc]{1,5}(?:\s*(?:of|/)\s*\d+)?\W*", re.IGNORECASE)


def decode(raw: bytes) -> str:
    """The characters of a text file: UTF-8, UTF-16 or UTF-32 with a mark, else the western code page."""
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return raw.decode(name, "replace").lstrip("\ufeff")
    if b"\0" in raw or len(_CONTROL.findall(raw)) * 50 > len(raw):
        raise Unreadable("not a text file")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_damaged(raw)


def is_charset(name: str) -> bool:
    """Whether a text may be in this encoding: there is one of this name, and it is not one for names of hosts."""
    try:
        # Undoing `punycode` takes time that grows with the square of the length: two megabytes take an hour.
        return name.isascii() and name.isprintable() and codecs.lookup(name).name not in ("idna", "punycode")
    except LookupError:
        return False


def _decode_damaged(raw: bytes) -> str:
    """What is not quite UTF-8: with a few wrong bytes, or in the western code page."""
    text = raw.decode("utf-8", "replace")
    wrong, accented = text.count("\ufffd"), sum(character > "\x7f" for character in text)
    if accented - wrong > 4 * wrong:
        return text
    if sum(byte > 0x7F for byte in raw) * 4 > len(raw):
        raise Unreadable("its encoding is not known; save it as UTF-8")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_plain(text: str) -> tuple[str, list[Block]]:
    """Blocks of a plain text, and its title if one stands in the middle above the text."""
    pages = [page.splitlines() for page in text.expandtabs(8).split("\f")]
    lines = [page[place] for page, places in zip(pages, body_places(pages), strict=True) for place in places]
    known, groups = vocabulary(lines), list(_groups(lines))
    title = next((group[0].strip() for group in groups[:3] if _is_centred(group)), "")
    return title, [block for group in groups for block in _group_blocks(group, known)]


def _is_centred(group: Sequence[str]) -> bool:
    is_in_the_middle = all(line.startswith(" " * 8) and len(line) <= 80 for line in group)
    return is_in_the_middle and len(group) <= 4 and group[0].lstrip()[0].isupper() and not _has_columns(group)


def body_places(pages: Sequence[Sequence[str]]) -> list[list[int]]:
    """Which lines of each page are no running headers, footers and page numbers."""
    if len(pages) < 3:
        return [list(range(len(page))) for page in pages]
    edges = [_edges(page) for page in pages]
    seen = Counter[str]()
    for at, (page, edge) in enumerate(zip(pages, edges, strict=True)):
        seen.update({key for place in edge for key in _line_keys(page[place], at)})
    often = max(3, len(pages) * 0.3)

    def runs(line: str, at: int) -> bool:
        keys = _line_keys(line, at)
        return seen[keys[0]] >= often or any(seen[key] > 1 for key in keys[1:]) or bool(_PAGE_NUMBER.fullmatch(keys[0]))

    return [
        [place for place, line in enumerate(page) if place not in edge or not runs(line, at)]
        for at, (page, edge) in enumerate(zip(pages, edges, strict=True))
    ]


def _edges(page: Sequence[str]) -> set[int]:
    """Places of the first two and the last two lines that are not blank."""
    full = [at for at, line in enumerate(page) if line.strip()]
    return {*full[:2], *full[-2:]}


def _line_keys(line: str, at: int) -> list[str]:
    """The line; and if it begins or ends like '12 Title' or 'Title [12]', that with the number less the page's."""
    text = flatten(line)
    numbers = (pattern.search(text) for pattern in _RUNNING)
    return [text, *(f"{text[: n.start(1)]}\0{int(n[1]) - at}{text[n.end(1) :]}" for n in numbers if n)]


def vocabulary(lines: Iterable[str]) -> frozenset[str]:
    """Every word of the lines, in lower case, hyphens kept: tells how a word broken at a line's end is spelt."""
    return frozenset(word.lower() for line in lines for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", line))


def unwrap(lines: Iterable[str], known: frozenset[str], *, soft: bool = False) -> str:
    """Join wrapped lines; a hyphen at a line's end goes where the text writes the word without it, or if `soft`."""
    parts: list[str] = []
    for line in lines:
        following = flatten(line)
        broken = re.search(r"([^\W\d_]+)[-\u2010\u00ad]$", parts[-1][-60:]) if parts else None
        first = re.match(r"[^\W\d_]+", following)
        if broken and first and first[0].islower():
            whole, compound = f"{broken[1]}{first[0]}".lower(), f"{broken[1]}-{first[0]}".lower()
            if whole in known or (soft and compound not in known):
                parts[-1] = parts[-1][:-1]
            parts.append(following)
        elif following:
            parts += [" ", following] if parts else [following]
    return "".join(parts)


def _groups(lines: Iterable[str]) -> Iterator[list[str]]:
    """Runs of lines without a blank one between them."""
    for is_full, group in groupby((line.rstrip() for line in lines), key=bool):
        if is_full:
            yield list(group)


def _group_blocks(group: list[str], known: frozenset[str]) -> Iterator[Block]:
    first = group[0].strip()
    if len(group) > 1 and _UNDERLINE.fullmatch(group[1].strip()) and len(group[1].strip()) + 3 > len(first):
        yield Block("heading", first, 1 if group[1].strip()[0] == "=" else 2)
        if group[2:]:
            yield from _group_blocks(group[2:], known)
    elif hashes := _HASHES.fullmatch(group[0]):
        yield Block("heading", hashes[2], len(hashes[1]))
        if group[1:]:
            yield from _group_blocks(group[1:], known)
    elif len(group) == 1 and (level := _heading_level(first)):
        yield Block("heading", first, level)
    elif all(_UNDERLINE.fullmatch(line.strip()) for line in group):
        return
    elif _has_columns(group):
        yield Block("code", "\n".join(group))
    elif _ITEM.match(group[0]) and (items := _items(group)):
        yield Block("list", "\n".join(unwrap(item, known) for item in items))
    elif _is_wrapped(group):
        yield Block("prose", unwrap(group, known))
    else:
        yield Block("prose", "\n".join(line.strip() for line in group))


def _has_columns(group: Sequence[str]) -> bool:
    """Whether the lines are laid out: columns told apart by gaps, or drawn boxes."""
    return any(map(_DRAWN.match, group)) or 2 * sum(bool(_GAP.search(line)) for line in group) > max(len(group), 2)


def _heading_level(line: str) -> int:
    """Level of a line that stands alone and looks like a heading; 0 if it does not."""
    if len(line) > 80:
        return 0
    if numbered := _NUMBERED.fullmatch(line):
        return 1 + numbered[1].count(".")
    letters = sum(character.isalpha() for character in line)
    return 1 if letters > 3 and line.isupper() and line[-1] not in ".!?;,:" else 0


def _items(group: Sequence[str]) -> list[list[str]]:
    """The lines of each item of a list; nothing if one line is neither an item nor indented below one."""
    items: list[list[str]] = []
    for line in group:
        if _ITEM.match(line):
            items.append([line])
        elif line[0].isspace():
            items[-1].append(line)
        else:
            return []
    return items


def _is_wrapped(group: Sequence[str]) -> bool:
    """Whether most lines go on in the next: its first word would not have fitted, or begins in lower case."""
    width = max(len(line) for line in group)
    goes_on = [
        len(line) + 1 + len(after.split()[0]) > width or after.lstrip()[0].islower() for line, after in pairwise(group)
    ]
    return width >= 40 and sum(goes_on) >= 0.7 * len(goes_on)
