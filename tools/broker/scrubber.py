"""The scrubber: takes secrets out of what servers answer, in all the ways they are commonly spelled."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = b"[redacted]"
_PERCENT: Final = re.compile(r"%[0-9A-F]{2}")
_OF_JSON: Final = ("<>&", "<>&'=", "<>&'+", "<>&'+`")
"""What writers of JSON escape, so that it may stand in HTML: those of Go and Rails, Gson, .NET old and new."""
_FORMS_OF_JSON: Final = (r"\u{:04x}", r"\u{:04X}")
_OF_HTML: Final = ("<>&\"'", "<>&\"'`=/")
_FORMS_OF_HTML: Final = ("&#{};", "&#x{:x};", "&#x{:X};")
_OF_ADDRESSES: Final = ("", "/", "!'()*", ";,/?:@&=+$!'()*#")
"""What quote, encodeURIComponent and encodeURI leave as it is."""


class Scrubber:
    """Knows how some secrets may be spelled."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.spellings = tuple(sorted({one for secret in secrets for one in _spellings(secret)}, key=len, reverse=True))
        self._any = re.compile(b"|".join(map(re.escape, self.spellings)) or rb"(?!)")

    def clean(self, raw: bytes) -> bytes:
        return self._any.sub(REDACTED, raw)

    def clean_text(self, text: str) -> str:
        return self.clean(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def stream(self) -> Stream:
        return Stream(self)

    def split(self, raw: bytes) -> tuple[bytes, bytes]:
        """What can be passed on, cleaned, and the end that may be the beginning of a secret."""
        parts, done = [], 0
        for found in self._any.finditer(raw):
            parts += [raw[done : found.start()], REDACTED]
            done = found.end()
        rest = raw[done:]
        held = max((_begun(rest, spelling) for spelling in self.spellings), default=0)
        return b"".join((*parts, rest[: len(rest) - held])), rest[len(rest) - held :]


class Stream:
    """One answer on its way; it holds back no more than what may be the beginning of a secret."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber, self._held = scrubber, b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on now."""
        passed, self._held = self._scrubber.split(self._held + chunk)
        return passed

    def finish(self) -> bytes:
        """What was held back, once nothing follows."""
        rest, self._held = self._held, b""
        return rest


def _begun(raw: bytes, spelling: bytes) -> int:
    """How many bytes at the end are the beginning of this, without being all of it."""
    at = raw.find(spelling[:1], max(0, len(raw) - len(spelling) + 1))
    while at >= 0:
        if spelling.startswith(raw[at:]):
            return len(raw) - at
        at = raw.find(spelling[:1], at + 1)
    return 0


def _escaped(text: str, marks: str, form: str) -> str:
    """The text with these characters written by their numbers."""
    return "".join(form.format(ord(mark)) if mark in marks else mark for mark in text)


def _spellings(secret: str) -> Iterator[bytes]:
    """As it is, and as JSON, HTML, addresses, hex and base64 write it."""
    raw = secret.encode()
    texts = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts |= {_escaped(text, marks, form) for text in texts for marks in _OF_JSON for form in _FORMS_OF_JSON}
    texts |= {_escaped(secret, marks, form) for marks in _OF_HTML for form in _FORMS_OF_HTML} | {html.escape(secret)}
    texts |= {text.replace("/", r"\/") for text in texts}
    quoted = {quote(secret, safe=safe) for safe in _OF_ADDRESSES} | {quote_plus(secret)}
    texts |= quoted | {_PERCENT.sub(lambda found: found[0].lower(), text) for text in quoted}
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), *(text.encode() for text in texts))
    for before in range(3):  # where it stands in what is encoded, as in `user:secret` of basic authentication
        coded = base64.b64encode(bytes(before) + raw)
        # The characters that bytes beside it have a part in say nothing certain.
        inner = coded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield from (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))
