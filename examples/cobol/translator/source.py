"""COBOL's text: columns, continued lines, comments and directives; and the words that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

Kind = Literal["word", "text", "number", "sign", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<text>(?:[XxZzBbHhNn][XxCc]?)?(?:"(?:[^"]|"")*"|'(?:[^']|'')*'))
      | (?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?![\w-]*[A-Za-z])(?:[Ee][+-]?\d+(?:\.\d+)?)?)
      | (?P<word>[A-Za-z0-9](?:[\w-]*\w)?)
      | (?P<sign>\*\*|<=|>=|<>|==|[-+*/=<>():&])
      | (?P<end>\.(?=\s|$))
      | (?P<gap>[,;\s]+)""",
    re.VERBOSE,
)
_WITH_COMMA: Final = re.compile(
    _TOKEN.pattern.replace(r"(?:\.\d+)?|\.\d+)(?![", r"(?:,\d+)?|,\d+)(?![").replace(r"[,;\s]+", r"[,;\s]"), re.VERBOSE
)
_PICTURE: Final = re.compile(r"\s+(?:IS\s+)?(\S+?)(?=\.?(?:\s|$))", re.IGNORECASE)
_FORMAT: Final = re.compile(
    r">>\s*(?:SOURCE(?:\s+FORMAT)?(?:\s+IS)?\s+|SET\s+SOURCEFORMAT\s+)[\"']?(FREE|FIXED|VARIABLE)", re.IGNORECASE
)
_DECIMAL_COMMA: Final = re.compile(r"\bDECIMAL-POINT\s+(?:IS\s+)?COMMA\b", re.IGNORECASE)


class Refused(Exception):
    """A construct outside of the subset: which, and where."""

    def __init__(self, construct: str, line: int) -> None:
        super().__init__(f"line {line}: {construct}")
        self.construct, self.line = construct, line


@dataclass(frozen=True)
class Token:
    """A word, literal or sign of the source."""

    kind: Kind
    text: str
    """A word in capitals; of a literal what it stands for."""
    line: int

    @property
    def is_number(self) -> bool:
        return self.kind == "number"


def refuse(construct: str, line: int) -> NoReturn:
    raise Refused(construct, line)


def tokens_of(source: str) -> list[Token]:
    """The tokens of a program; Refused for what it begins with and cannot be read."""
    text, lines = _joined(source)
    comma = has_decimal_comma(source)
    pattern = _WITH_COMMA if comma else _TOKEN
    found, at = list[Token](), 0
    while at < len(text):
        line = lines[text.count("\n", 0, at)] if text[at] != "\n" else 0
        match = pattern.match(text, at)
        if match is None:
            refuse(f"the sign {text[at]!r}", line)
        at = match.end()
        kind = match.lastgroup or "gap"
        if kind == "gap":
            continue
        token = _token(kind, match[0].replace(",", ".") if comma and kind == "number" else match[0], line)
        found.append(token)
        if token.text in ("PIC", "PICTURE") and token.kind == "word":
            picture = _PICTURE.match(text, at)
            if picture is None:
                refuse("a PICTURE of nothing", line)
            found.append(Token("word", picture[1].upper(), line))
            at = picture.end()
    return found


def _token(kind: str, text: str, line: int) -> Token:
    if kind == "text":
        is_number = text[0] in "BbHh" and text[1] in "'\""
        return Token("number" if is_number else "text", _literal(text, line), line)
    if kind == "number":
        if "E" in text.upper():
            refuse("a floating-point literal", line)
        return Token("number", text, line)
    if kind == "word":
        return Token("word", text.upper(), line)
    if kind == "sign" and text == "==":
        refuse("COPY or REPLACE", line)
    return Token("end" if kind == "end" else "sign", text, line)


def _literal(text: str, line: int) -> str:
    at = min(place for place in (text.find('"'), text.find("'")) if place >= 0)
    prefix, quote = text[:at].upper(), text[at]
    inner = text[at + 1 : -1].replace(quote * 2, quote)
    if prefix == "X" and len(inner) % 2 == 0 and re.fullmatch("[0-9A-Fa-f]+", inner):
        return bytes.fromhex(inner).decode("latin-1")
    if prefix in ("B", "H") and re.fullmatch("[01]+" if prefix == "B" else "[0-9A-Fa-f]+", inner):
        return str(int(inner, 2 if prefix == "B" else 16))
    if prefix == "Z":
        return f"{inner}\0"
    if prefix:
        refuse(f"a literal {prefix}{quote}...{quote}", line)
    if not inner:
        refuse("a literal of no characters", line)
    if not inner.isascii():
        refuse("a literal with characters that are not ASCII", line)
    return inner


def _joined(source: str) -> tuple[str, list[int]]:
    """The text without columns and comments, and of each of its lines the number in the source."""
    rows, numbers, free = list[str](), list[int](), False
    open_quote, last_column = "", 72
    debugging = re.search(r"\bWITH\s+DEBUGGING\s+MODE\b", source, re.IGNORECASE) is not None
    for number, raw in enumerate(source.splitlines(), 1):
        row = raw.expandtabs(8)
        stripped = row.strip()
        if stripped.startswith(">>") or row[6:].strip().startswith(">>"):
            directive = _FORMAT.match(stripped) or _FORMAT.match(row[6:].strip())
            if directive is None:
                refuse(f"the directive {stripped.split()[0]}", number)
            free = directive[1].upper() == "FREE"
            last_column = 10_000 if directive[1].upper() == "VARIABLE" else 72
            continue
        if free:
            if not stripped.startswith("*>"):
                rows.append(_without_comment(row))
                numbers.append(number)
            continue
        mark, text = row[6:7], row[7:last_column]
        if not stripped or mark in ("*", "/"):
            continue
        if mark in ("D", "d"):
            if not debugging:
                continue
            mark = " "
        if mark == "-":
            _continue(rows, text, number, open_quote)
        elif mark in (" ", ""):
            if open_quote:
                refuse("a literal without an end", number)
            rows.append(text.ljust(65))
            numbers.append(number)
        else:
            refuse(f"the sign {mark!r} in column 7", number)
        rows[-1] = _without_comment(rows[-1])
        open_quote = _open_quote(rows[-1])
        if not open_quote:
            rows[-1] = rows[-1].rstrip()
    if open_quote:
        refuse("a literal without an end", numbers[-1])
    for number, row in zip(numbers, rows, strict=True):
        if re.search(r"[\"']\s*-\s*$", row) or (free and _open_quote(row)):
            refuse("a literal that is continued by a hyphen at its end", number)
        if word := re.search(r"(?:^|[.\s])(COPY|REPLACE|EXEC)\s+[\w\"'=]", _blanked(row), re.IGNORECASE):
            refuse(word[1].upper(), number)
    return "\n".join(rows), numbers


def _continue(rows: list[str], text: str, number: int, open_quote: str) -> None:
    """Continue the last line, in the middle of a literal or of a word."""
    rest = text.ljust(65).lstrip()
    if not rows:
        refuse("a line that continues nothing", number)
    if not open_quote:
        rows[-1] = rows[-1].rstrip() + rest
    elif rest.startswith(open_quote):
        rows[-1] = rows[-1] + rest[1:]
    else:
        refuse("a literal that is continued without a quotation mark", number)


def _signs(row: str) -> Iterator[tuple[int, str, str]]:
    """Each character with the quotation mark that it stands in."""
    quote = ""
    for at, sign in enumerate(row):
        yield at, sign, quote
        quote = ("" if sign == quote else quote) if quote else sign if sign in "\"'" else ""


def _without_comment(row: str) -> str:
    for at, sign, quote in _signs(row):
        if not quote and sign == "*" and row[at : at + 2] == "*>":
            return row[:at]
    return row


def _open_quote(row: str) -> str:
    quote = ""
    for _, sign, before in _signs(row):
        quote = ("" if sign == before else before) if before else sign if sign in "\"'" else ""
    return quote


def _blanked(row: str) -> str:
    """The row with blanks for what stands in literals."""
    return "".join("_" if quote else sign for _, sign, quote in _signs(row))


def has_decimal_comma(source: str) -> bool:
    return _DECIMAL_COMMA.search(source) is not None


def prepared(tokens: list[Token]) -> list[Token]:
    """The tokens with constants put in, and texts that `&` joins made one."""
    found, constants, at = list[Token](), dict[str, Token](), 0
    while at < len(tokens):
        token, rest = tokens[at], tokens[at + 1 : at + 6]
        begins = not found or found[-1].kind == "end"
        if begins and token.is_number and token.text in ("78", "01", "1") and _is_constant(token, rest):
            at = _define(tokens, at, constants)
            continue
        if token.kind == "sign" and token.text == "&":
            other = constants.get(tokens[at + 1].text, tokens[at + 1]) if at + 1 < len(tokens) else token
            if not found or found[-1].kind != "text" or other.kind != "text":
                refuse("& of what is no literal", token.line)
            found[-1] = Token("text", found[-1].text + other.text, found[-1].line)
            at += 2
            continue
        known = constants.get(token.text) if token.kind == "word" else None
        found.append(token if known is None else Token(known.kind, known.text, token.line))
        at += 1
    return found


def _is_constant(token: Token, rest: list[Token]) -> bool:
    return token.text == "78" or any(one.text == "CONSTANT" and one.kind == "word" for one in rest[1:2])


def _define(tokens: list[Token], at: int, constants: dict[str, Token]) -> int:
    """Take the constant that is defined here, and tell where its definition ends."""
    end = next((place for place in range(at, len(tokens)) if tokens[place].kind == "end"), len(tokens) - 1)
    name, words = tokens[at + 1], [one for one in tokens[at + 2 : end] if one.text not in ("IS", "AS")]
    is_literal = len(words) == 2 and words[0].text in ("VALUE", "CONSTANT") and words[1].kind in ("text", "number")
    if not is_literal:
        refuse("a constant that is no literal", tokens[at].line)
    constants[name.text] = words[1]
    return end + 1
