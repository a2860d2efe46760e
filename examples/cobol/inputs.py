"""Inputs: those that are given with a program, and what is made of them: edges of numbers, signs, lengths and ends."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from examples.cobol.running import Input

STDIN: Final = "stdin"
"""The name of the file that holds standard input among given ones."""
_NUMBER: Final = re.compile(rb"[+-]?\d+(?:\.\d+)?")
_FILE: Final = re.compile(rb"""\bASSIGN\s+(?:TO\s+)?["']([\w.-]+)["']""", re.IGNORECASE)
_READS: Final = re.compile(rb"\bACCEPT\s", re.IGNORECASE)
_INVENTED: Final = b"7\n42\nALPHA 12.50\n-3\n\nlast line  \n"

Change = Callable[[bytes, random.Random], bytes]


def given_inputs(program: Path, source: bytes) -> list[Input]:
    """What lies beside `NAME.cob` in `NAME.inputs/`, a folder each with `stdin` and files; else what is invented."""
    place = program.with_suffix(".inputs")
    if place.is_dir():
        found = [_read(folder) for folder in sorted(place.iterdir()) if folder.is_dir()]
        if found:
            return found
    names = [name.decode() for name in _FILE.findall(source)]
    bare = Input(name="nothing", stdin=_INVENTED if _READS.search(source) else b"")
    if not names:
        return [bare]
    files = dict.fromkeys(names, _INVENTED)
    return [bare, Input(name="invented files", stdin=bare.stdin, files=files)]


def _read(folder: Path) -> Input:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Input(name=folder.name, stdin=files.pop(STDIN, b""), files=files)


def all_inputs(given: Sequence[Input], *, count: int, seed: int = 0) -> list[Input]:
    """The given inputs, and up to `count` that are made of them; the same for the same seed."""
    rng = random.Random(seed)
    found, seen = list(given), {_key(one) for one in given}
    texts = [(one, part) for one in given for part in _parts(one)]
    rng.shuffle(texts)
    # Every change comes before one comes twice.
    turns = range(len(texts) * (1 + count // len(CHANGES)))
    makers = [(*texts[(turn + at) % len(texts)], name) for turn in turns for at, name in enumerate(CHANGES)]
    for one, part, name in makers:
        if len(found) - len(given) >= count:
            break
        made = _changed(one, part, CHANGES[name], f"{one.name}, {part} with {name}", rng)
        if _key(made) not in seen:
            seen.add(_key(made))
            found.append(made)
    return found


def _parts(given: Input) -> list[str]:
    return [STDIN] * bool(given.stdin) + sorted(given.files)


def _changed(given: Input, part: str, change: Change, name: str, rng: random.Random) -> Input:
    if part == STDIN:
        return Input(name=name, stdin=change(given.stdin, rng), files=given.files)
    files: Mapping[str, bytes] = {**given.files, part: change(given.files[part], rng)}
    return Input(name=name, stdin=given.stdin, files=files)


def _key(given: Input) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    return given.stdin, tuple(sorted(given.files.items()))


def _in_a_line(change: Change) -> Change:
    """The change, in one line of the text."""

    def changed(raw: bytes, rng: random.Random) -> bytes:
        lines = raw.split(b"\n")
        at = rng.randrange(max(1, len(lines) - 1))
        lines[at] = change(lines[at], rng)
        return b"\n".join(lines)

    return changed


def _number(make: Callable[[bytes], bytes]) -> Change:
    """The change of one number in the text; of a text without any, of its beginning."""

    def changed(raw: bytes, rng: random.Random) -> bytes:
        found = list(_NUMBER.finditer(raw))
        if not found:
            return make(b"0") + raw
        one = rng.choice(found)
        return raw[: one.start()] + make(one[0]) + raw[one.end() :]

    return changed


def _noise(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + bytes([rng.choice(b" !#*,.;<=?ABZaz\xe9")]) + raw[at + 1 :]


def _shuffled(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


CHANGES: Final[Mapping[str, Change]] = {
    "nothing in it": lambda _raw, _rng: b"",
    "an empty line alone": lambda _raw, _rng: b"\n",
    "no end of the last line": lambda raw, _rng: raw.rstrip(b"\n"),
    "its end cut off": _cut,
    "a zero": _number(lambda number: b"0" * len(number)),
    "a nine in every place": _number(lambda number: b"9" * len(number)),
    "a digit more": _number(lambda number: number + b"9"),
    "many digits more": _number(lambda _: b"9" * 40),
    "leading zeros": _number(lambda number: b"000" + number.lstrip(b"+-")),
    "a minus": _number(lambda number: b"-" + number.lstrip(b"+-")),
    "a plus": _number(lambda number: b"+" + number.lstrip(b"+-")),
    "a fraction": _number(lambda number: number + b".005"),
    "half a unit": _number(lambda number: number.partition(b".")[0] + b".5"),
    "one": _number(lambda _: b"1"),
    "a line that is too long": _in_a_line(lambda line, _rng: line * 3 + b"X" * 300),
    "an empty line": _in_a_line(lambda _line, _rng: b""),
    "a line of blanks": _in_a_line(lambda line, _rng: b" " * len(line)),
    "trailing blanks": _in_a_line(lambda line, _rng: line + b"   "),
    "leading blanks": _in_a_line(lambda line, _rng: b"  " + line),
    "a line twice": _in_a_line(lambda line, _rng: line + b"\n" + line),
    "small letters": _in_a_line(lambda line, _rng: line.lower()),
    "capitals": _in_a_line(lambda line, _rng: line.upper()),
    "another sign": _noise,
    "lines in another order": _shuffled,
    "everything twice": lambda raw, _rng: raw * 2,
}
"""What is done to a text, by the name that a report gives it."""
