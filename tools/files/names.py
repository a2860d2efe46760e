"""Names of files, as patches and people read them."""

from __future__ import annotations

import re
from typing import Final

from signoff.errors import FileRefused

_LONGEST: Final = 1_000
_ODD: Final = re.compile(r'[\x00-\x1f\x7f"\\]')
_ESCAPE: Final = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_LETTERS: Final = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}


def check_name(path: str) -> str:
    """The path of a file in a project, tidied: relative, without `.`; FileRefused for all that could lead out.

    What lies in a `.git` folder is refused: git runs programs that are named there.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise FileRefused(path, "the name is no proper text. Name another file.") from None
    if not path.strip():
        raise FileRefused(path, "the path is empty. Name a file.")
    if "\0" in path or len(path) > _LONGEST:
        raise FileRefused(path, "the path is too long or has a NUL character. Name another file.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or (parts and parts[0].startswith("~")):
        raise FileRefused(path, "the path is absolute. Begin at the project's folder: 'src/main.py'.")
    if ".." in parts:
        raise FileRefused(path, "the path leads upwards. Name a file inside of the project.")
    if any(_is_git(part) for part in parts):
        raise FileRefused(path, "what is in '.git' is not read or changed.")
    if not "".join(parts).strip():
        raise FileRefused(path, "the path is the project's folder. Name a file.")
    return "/".join(parts)


def _is_git(part: str) -> bool:
    """Whether some file system takes this name for `.git`."""
    plain = re.sub(r"[\u200c\u200d\u200e\u200f\u202a-\u202e\u206a-\u206f\ufeff]", "", part).rstrip(" .").lower()
    return plain.split(":")[0] in (".git", "git~1")


def write_name(name: str) -> str:
    """A name as a patch has it: what could be mistaken is quoted as C does."""
    if not _ODD.search(name) and name == name.strip():
        return name
    letters = {code: letter.decode() for letter, code in _LETTERS.items()}

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\{letters[code]}" if code in letters else f"\\{code:03o}"

    return f'"{_ODD.sub(escape, name)}"'


def read_name(text: str) -> str | None:
    """A name in a patch, unquoted; None if it is no name."""
    if not text.startswith('"'):
        return text or None
    if len(text) < 3 or not text.endswith('"'):
        return None
    quoted = text[1:-1].encode("utf-8", "surrogatepass")
    if b'"' in re.sub(rb"\\.", b"", quoted) or b"\\" in _ESCAPE.sub(b"", quoted):
        return None
    try:
        return _ESCAPE.sub(_byte, quoted).decode("utf-8")
    except (UnicodeDecodeError, ValueError):
        return None


def _byte(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([_LETTERS[code] if code in _LETTERS else int(code, 8)])
