"""Source code and notebooks to blocks; what they say in words is prose, the rest is code."""

from __future__ import annotations

import ast
import inspect
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby

from signoff.tools.documents.blocks import Block
from signoff.tools.documents.plain_text import read_plain
from signoff.tools.errors import Unreadable

_DECLARES = re.compile(
    r"(?:export\s+|default\s+|public\s+|private\s+|protected\s+|static\s+|abstract\s+|final\s+|async\s+|pub(?:\(\w+\))?\s+"
    r"|unsafe\s+|data\s+|sealed\s+)*"
    r"(?:class|interface|enum|struct|trait|impl|func|function|fn|def|module|namespace|type|object|message|service)\s+"
    r"(?:\([^)]*\)\s*)?([A-Za-z_$][\w$.:]*)"
)
_SECTION = re.compile(r"\[\[?([\w.\"' -]+)\]\]?\s*(?:[#;].*)?")
_COMMENT = re.compile(r"\s*(?://+!?|#+!?(?![!\[])|--+|;+|/\*+|\*+/?|<!--)\s?(.*?)\s*(?:\*+/|-->)?\s*$")
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def read_python(text: str) -> tuple[str, list[Block]]:
    """Docstrings as prose under the name of what they describe; text that is not Python as any code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the file
            tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return read_code(text)
    return "", list(_python_blocks(tree, text.replace("\f", " ").splitlines()))


def _python_blocks(tree: ast.Module, lines: Sequence[str]) -> Iterator[Block]:
    """Code up to each docstring or definition, then that."""
    at = 0
    for start, end, blocks in sorted(_marks(tree), key=lambda mark: mark[0]):
        yield _code(lines[at:start])
        at = max(at, end)
        yield from blocks
    yield _code(lines[at:])


def _marks(node: _Documented, prefix: str = "", level: int = 0) -> Iterator[tuple[int, int, list[Block]]]:
    """First and last line (from 0, the last not included) of definitions' heads and docstrings, and their blocks."""
    if prefix:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])  # type: ignore[union-attr]
        yield first - 1, first - 1, [Block("heading", prefix, level)]
    said = ast.get_docstring(node)
    body = node.body[0] if node.body else None
    if said and body is not None and body.end_lineno is not None and _stands_alone(node, body):
        yield body.lineno - 1, body.end_lineno, _said(said)
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and level < 3:
            yield from _marks(inner, f"{prefix}.{inner.name}" if prefix else inner.name, level + 1)


def _stands_alone(node: _Documented, docstring: ast.stmt) -> bool:
    """Whether the docstring has its lines to itself, so that cutting them out leaves whole lines of code."""
    after = node.body[1].lineno if len(node.body) > 1 else None
    before = node.lineno if not isinstance(node, ast.Module) else 0
    return before < docstring.lineno and after != docstring.end_lineno


def _said(text: str) -> list[Block]:
    """The blocks of a comment or docstring."""
    _, blocks = read_plain(inspect.cleandoc(text).replace("``", ""))
    return [Block("prose", block.text) if block.kind == "heading" else block for block in blocks]


def _code(lines: Sequence[str]) -> Block:
    return Block("code", "\n".join(lines).strip("\n"))


def read_code(text: str) -> tuple[str, list[Block]]:
    """Comments of two lines or more as prose, declarations that begin a line as headings."""
    return "", list(_code_blocks(text.splitlines()))


def _code_blocks(lines: Sequence[str]) -> Iterator[Block]:
    code: list[str] = []
    for comment, run in groupby(_told_apart(lines), key=lambda told: told[0]):
        part = [line for _, line in run]
        if comment and len(part) > 1 and sum(map(len, part)) > 80:
            yield _code(code)
            code = []
            yield from _said("\n".join(_strip_comment(line) for line in part))
            continue
        for line in part:
            declared = None if comment else _DECLARES.match(line) or _SECTION.fullmatch(line)
            if declared:
                yield _code(code)
                code = []
                yield Block("heading", declared[1], 1)
            code.append(line)
    yield _code(code)


def _told_apart(lines: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """Whether each line is all comment, and the line."""
    inside = False
    for line in lines:
        text = line.strip()
        opens = text.startswith("/*")
        comment = inside or opens or text.startswith(("//", "# ", "-- ", ";; ", "<!--")) or text == "#"
        inside = (inside or opens) and "*/" not in text
        yield comment, line


def _strip_comment(line: str) -> str:
    found = _COMMENT.match(line)
    return found[1] if found else line.strip()


def read_notebook(text: str) -> tuple[str, list[Block]]:
    """The Markdown and the code of a Jupyter notebook, without outputs."""
    from signoff.tools.documents.html import read_markdown

    try:
        notebook = json.loads(text)
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable("not a Jupyter notebook") from error
    title = ""
    blocks: list[Block] = []
    for kind, source in cells:
        if kind == "markdown":
            named, inside = read_markdown(source)
            title = title or named
            blocks += inside
        elif kind == "code":
            blocks.append(Block("code", source))
    return title, blocks
