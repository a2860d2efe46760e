"""A map of a repository: its files and what the likeliest of them define, within a budget of tokens."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from signoff.tools.errors import FileRefused
from signoff.tools.files.edit import decode
from signoff.wording import counted, make_visible

_CHARACTERS: Final = 3
"""Of a token of code, at least, on average."""
_LAST_LINE: Final = 30
"""Characters that say how many files more there are."""
_WORD: Final = re.compile(r"[a-z][a-z0-9]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DECLARES: Final = re.compile(
    r"^\s*(?:export\s+|default\s+|public\s+|static\s+|async\s+|pub\s+)*"
    r"(?:class|interface|enum|struct|trait|impl|func|function|fn|def|module|type)\s+([A-Za-z_$][\w$]*)",
    re.MULTILINE,
)


def map_repository(files: Mapping[str, bytes], goal: str, tokens: int = 2_000) -> str:
    """The map of files by path: those that the goal speaks of come first, with what they define.

    Files that there is no room for are counted by folder, so that it is never longer than `tokens` allow.
    """
    left = tokens * _CHARACTERS - _LAST_LINE
    for_names = left * 0.6
    wanted = words_in(goal)
    defined = {path: _defined(path, raw) for path, raw in files.items()}
    likely = {path: len(wanted & words_in(f"{path} {' '.join(defined[path])}")) for path in files}
    order = sorted(files, key=lambda path: (-likely[path], path.count("/"), path))
    names, rest = list[str](), list[str]()
    for path in order:
        size = len(_head(path, files[path])) + 1
        if size <= for_names and not rest:
            names.append(path)
            for_names -= size
            left -= size
        else:
            rest.append(path)
    told = dict[str, str]()
    for path in names:
        text = "; ".join(defined[path])
        if text and len(text) + 4 <= left:
            told[path] = text
            left -= len(text) + 4
    lines = [_line(path, files[path], told.get(path, "")) for path in sorted(names)]
    return make_visible("\n".join((*lines, *_counted(rest, left))))


def _head(path: str, raw: bytes) -> str:
    lines = raw.count(b"\n")
    return f"{path} ({counted(lines, 'line')})"


def _line(path: str, raw: bytes, defines: str) -> str:
    return f"{_head(path, raw)}\n    {defines}" if defines else _head(path, raw)


def _counted(paths: Iterable[str], left: int) -> list[str]:
    """How many more there are, by top folder as far as there is room."""
    folders = Counter(path.partition("/")[0] if "/" in path else "." for path in paths)
    if not folders:
        return []
    head = f"and {counted(folders.total(), 'more file')}"
    listed = ", ".join(f"{number} in {folder}/" for folder, number in folders.most_common())
    return [f"{head}: {listed}" if len(head) + len(listed) + 2 <= left + _LAST_LINE else head]


def words_in(text: str) -> frozenset[str]:
    """Its words, those within names too, in small letters."""
    return frozenset(word for word in _WORD.findall(_HUMP.sub(" ", text).replace("_", " ").lower()) if len(word) > 2)


def _defined(path: str, raw: bytes) -> list[str]:
    """What a file defines, at its top and in its classes; nothing of what is no code."""
    if len(raw) > 1_000_000:
        return []
    try:
        text = decode(raw, path).text
    except FileRefused:
        return []
    if not path.endswith(".py"):
        return list(dict.fromkeys(_DECLARES.findall(text)))[:40]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the file
            body = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return list(dict.fromkeys(_DECLARES.findall(text)))[:40]
    return [told for node in body if (told := _signature(node))]


def _signature(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return f"def {node.name}({ast.unparse(node.args)[:80]})"
        case ast.ClassDef():
            inner = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            return f"class {node.name}: {', '.join(inner[:20])}".removesuffix(": ")
    return ""
