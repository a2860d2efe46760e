"""reStructuredText to blocks, with any roles and directives: Sphinx's, and what a project made for itself."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser, states
from docutils.utils import new_document

from signoff.tools.documents.blocks import Block, flatten
from signoff.tools.documents.plain_text import read_plain
from signoff.tools.documents.tabular import row_lines

_PEP = re.compile(r"\APEP:[ \t]*(\d+)[ \t]*\n(?:\S.*\n|[ \t]+\S.*\n)*")
_PEP_TITLE = re.compile(r"^Title:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_LONGEST_PARAGRAPH = 20_000
"""Characters beyond which docutils would take minutes; such a text is read as plain."""
_TARGET = re.compile(r"(?s)^(.*\S)\s*<[^<>]*>$")
_MARK = re.compile(r"[\w.-]+")
"""A name alone."""
_OPTION = re.compile(r"\s*:[\w-]+:(?:\s|$)")
_WORDS = tomllib.loads(Path(__file__).with_name("markup.toml").read_text(encoding="utf-8"))["rst"]
_SILENT, _CODE = frozenset(_WORDS["dropped_directives"].split()), frozenset(_WORDS["code_directives"].split())
_NOT_PROSE = (
    nodes.comment,
    nodes.system_message,
    nodes.substitution_definition,
    nodes.target,
    nodes.docinfo,
    nodes.topic,
    nodes.raw,
    nodes.image,
    nodes.pending,
    nodes.footnote_reference,
    nodes.citation_reference,
    nodes.label,
)
_PARSING = Lock()
"""docutils keeps the default role in a global table."""


class _Lenient:
    """Reads what docutils refuses: directives it does not know, and options its directives do not know."""

    nested_sm_cache: list[Any] = []  # noqa: RUF012 - docutils' own cache holds strict machines; this one is ours
    state_machine: Any
    nested_parse: Any
    inline_text: Any

    def __init__(self, state_machine: Any, debug: bool = False) -> None:
        super().__init__(state_machine, debug)  # type: ignore[call-arg]  # the state class this is mixed into
        self.nested_sm_kwargs = {"state_classes": _state_classes(), "initial_state": "Body"}

    def parse_extension_options(self, option_spec: Any, datalines: Any) -> tuple[int, Any]:
        """Options that do not fit are left out instead of the whole directive."""
        success, options = super().parse_extension_options(option_spec, datalines)  # type: ignore[misc]
        return (1, options) if success else (1, {})

    def unknown_directive(self, type_name: str) -> tuple[list[nodes.Node], bool]:
        """Keep the directive's argument and content as text."""
        block, _, offset, blank_finish = self.state_machine.get_first_known_indented(0, strip_indent=False)
        lines = [str(line) for line in block]
        argument = lines[0].split("::", 1)[-1].strip() if lines else ""
        if type_name in _SILENT:
            return [], blank_finish
        options = next((at for at, line in enumerate(lines[1:], 1) if not _OPTION.match(line)), len(lines))
        inside = block[options:]
        margins = [len(line) - len(line.lstrip()) for line in map(str, inside) if line.strip()]
        inside.trim_left(min(margins, default=0))
        kept = nodes.container()
        if type_name not in _WORDS["said"] and _MARK.fullmatch(argument) and not any(map(str.strip, map(str, inside))):
            return [], blank_finish  # it marks a place: what is said of it stands below
        if type_name in _CODE or type_name.endswith("code"):
            text = "\n".join([argument, *map(str, inside)]).strip("\n")
            return [nodes.literal_block(text, text)], blank_finish
        if argument:
            said = f"{_WORDS['said'].get(type_name, '')} {argument}".lstrip()
            inline, _ = self.inline_text(said, self.state_machine.abs_line_number())
            kept += nodes.paragraph("", "", *inline)
        if any(line.strip() for line in map(str, inside)):
            self.nested_parse(inside, offset + options, kept)
        return [kept], blank_finish


def _inliner() -> states.Inliner:
    """An inliner that gives the text of roles docutils does not know."""
    inliner = states.Inliner()
    strict = inliner.interpreted

    def lenient(rawsource: str, text: str, role: str, lineno: int) -> Any:
        plain, messages = strict(rawsource, text, role, lineno)
        if not any(isinstance(node, nodes.problematic) for node in plain):
            return plain, messages
        shown = text.replace("\0", "")
        titled = _TARGET.match(shown)
        if titled:
            shown = titled[1]
        elif shown.startswith("~"):
            shown = shown.rsplit(".", 1)[-1].lstrip("~")
        return [nodes.Text(shown.lstrip("!"))], []

    inliner.interpreted = lenient  # its patterns come from vars(class), so a subclass has none
    return inliner


@cache
def _state_classes() -> tuple[type[Any], ...]:
    return tuple(type(state.__name__, (_Lenient, state), {}) for state in states.state_classes)


def read_rst(text: str) -> tuple[str, list[Block]]:
    """Title and blocks of a reStructuredText document; a PEP's header gives its title only."""
    if max(map(len, re.split(r"\n[ \t]*\n", text))) > _LONGEST_PARAGRAPH:
        return read_plain(text)
    header = _PEP.match(text)
    title = _PEP_TITLE.search(header[0]) if header else None
    named = f"PEP {header[1]} – {flatten(title[1])}" if header and title else ""
    document = _parse(text[header.end() :] if header else text)
    return named, list(_Flow(document).read(document))


def _parse(text: str) -> nodes.document:
    parser = Parser(inliner=_inliner())
    parser.state_classes = _state_classes()
    settings = get_default_settings(parser)
    settings.report_level = settings.halt_level = 5
    settings.file_insertion_enabled = settings.raw_enabled = False
    settings.syntax_highlight = "none"
    settings.line_length_limit = 1_000_000
    settings.warning_stream = False
    document = new_document("", settings)
    with _PARSING:
        parser.parse(text, document)
    return document


class _Flow:
    """Reads a document tree in order."""

    def __init__(self, document: nodes.document) -> None:
        self._substitutions = document.substitution_defs

    def read(self, node: nodes.Element, level: int = 0) -> Iterator[Block]:
        for child in node.children:
            if isinstance(child, nodes.Element) and not isinstance(child, _NOT_PROSE):
                yield from self._block(child, level)

    def _block(self, node: nodes.Element, level: int) -> Iterator[Block]:
        if isinstance(node, nodes.section):
            yield from self.read(node, level + 1)
        elif isinstance(node, nodes.title | nodes.rubric):
            yield Block("heading", flatten(self._text(node)), max(level, 1))
        elif isinstance(node, nodes.literal_block | nodes.doctest_block | nodes.math_block):
            yield Block("code", self._text(node))
        elif isinstance(node, nodes.bullet_list | nodes.enumerated_list):
            yield from self._list(node)
        elif isinstance(node, nodes.definition_list):
            for item in node.findall(nodes.definition_list_item, include_self=False):
                if item.parent is node:
                    yield from self._definition(item)
        elif isinstance(node, nodes.field_list):
            if not _is_about_document(node):
                for field in node.children:
                    name, body = (flatten(self._text(part)) for part in field.children)
                    yield Block("prose", f"{name}: {body}" if body else name)
        elif isinstance(node, nodes.table):
            yield from self._table(node)
        elif isinstance(node, nodes.line_block):
            yield Block("prose", self._text(node))
        elif isinstance(node, nodes.TextElement):
            yield Block("prose", flatten(self._text(node)))
        else:
            yield from self.read(node, level)

    def _definition(self, item: nodes.Element) -> Iterator[Block]:
        """'term: definition', the rest of the definition below."""
        term = ", ".join(flatten(self._text(node)) for node in item.children if isinstance(node, nodes.term))
        inside = [block for node in item.children if isinstance(node, nodes.definition) for block in self.read(node)]
        if inside and inside[0].kind == "prose" and len(term) < 200:
            yield Block("prose", f"{term.rstrip(':')}: {inside[0].text}")
            yield from inside[1:]
        else:
            yield Block("prose", term)
            yield from inside

    def _list(self, node: nodes.Element, indent: str = "") -> Iterator[Block]:
        """The items, a line each; code and tables inside an item stand between two lists."""
        lines: list[str] = []
        number = int(node.get("start", 1))
        for at, item in enumerate(node.children):
            mark = f"{number + at}. " if isinstance(node, nodes.enumerated_list) else "- "
            for child in item.children if isinstance(item, nodes.Element) else ():
                inner = isinstance(child, nodes.bullet_list | nodes.enumerated_list)
                inside = self._list(child, indent + "  ") if inner else self._block(child, 0)
                for block in inside if not isinstance(child, _NOT_PROSE) else ():
                    if block.kind == "list":
                        lines.append(block.text)
                    elif block.kind == "prose" and mark.isspace() and not lines:
                        yield block  # goes on after code
                    elif block.kind == "prose":
                        lines.append(indent + mark + block.text)
                        mark = "  "
                    else:
                        yield from _listed(lines)
                        lines = []
                        yield block
        yield from _listed(lines)

    def _table(self, table: nodes.table) -> Iterator[Block]:
        for title in table.findall(nodes.title):
            yield Block("prose", flatten(self._text(title)))
        header: list[str] = []
        for head in table.findall(nodes.thead):
            header = self._row(next(iter(head.findall(nodes.row))))
        body = [row for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)]
        if not header and len(body) > 1 and all(map(_is_strong, body[0].children)):
            header = self._row(body.pop(0))
        rows = [self._row(row) for row in body]
        yield Block("table", "\n".join(row_lines(header, rows)))

    def _row(self, row: nodes.Element) -> list[str]:
        return [
            " ".join(flatten(block.text) for block in self.read(entry))
            for entry in row.children
            if isinstance(entry, nodes.Element)
        ]

    def _text(self, node: nodes.Node) -> str:
        """The text of an element; notes' marks are left out, with the space before them."""
        if isinstance(node, nodes.Text):
            return str(node.astext()).replace("``", "")
        if isinstance(node, nodes.problematic):
            return str(node.astext()).strip("`_|*")
        if isinstance(node, nodes.substitution_reference):
            return str(self._substitutions.get(node.astext(), node).astext())
        lines = isinstance(node, nodes.line_block)
        text = ""
        for child in node.children:
            if isinstance(child, nodes.footnote_reference | nodes.citation_reference):
                text = text.rstrip()
            elif not isinstance(child, _NOT_PROSE) or isinstance(child, nodes.target):
                text += self._text(child) + ("\n" if lines else "")
        return text


def _is_strong(cell: nodes.Node) -> bool:
    """Whether all that a cell says is in bold, as heads of columns are where nothing else tells them."""
    texts = [text for text in cell.findall(nodes.Text) if text.strip()]
    return bool(texts) and all(isinstance(text.parent, nodes.strong) for text in texts)


def _is_about_document(fields: nodes.Element) -> bool:
    """Whether a list of fields stands at the top, as author and date do, not in the text."""
    above = fields.parent.parent if isinstance(fields.parent, nodes.section) else fields.parent
    before = fields.parent.children[: fields.parent.index(fields)]
    return isinstance(above, nodes.document) and all(
        isinstance(node, nodes.title | nodes.comment | nodes.target) for node in before
    )


def _listed(lines: Sequence[str]) -> Iterator[Block]:
    if lines:
        yield Block("list", "\n".join(lines))
