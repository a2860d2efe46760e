"""The scrubber: takes secrets out of what servers answer, in all the ways they are commonly spelled."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from signoff.tools.broker.secrets_file import SHORTEST

REDACTED: Final = b"[redacted]"
_STEP: Final = 1024
"""What is held back of an answer is so many bytes or a multiple, as it tells how long the secret may be."""
_PERCENT: Final = re.compile(r"%[0-9A-F]{2}")
_OF_JSON: Final = ("<>&", "<>&'=", "<>&'+", "<>&'+`")
"""What writers of JSON escape, so that it may stand in HTML: those of Go and Rails, Gson, .NET old and new."""
_FORMS_OF_JSON: Final = (r"\u{:04x}", r"\u{:04X}")
_OF_HTML: Final = ("<>&\"'", "<>&\"'`=/")
_FORMS_OF_HTML: Final = ("&#{};", "&#x{:x};", "&#x{:X};")
_OF_ADDRESSES: Final = ("", "/", "!'()*", ";,/?:@&=+$!'()*#")
"""What quote, encodeURIComponent and encodeURI leave as it is."""


class Scrubber:
    """Knows how some secrets may be spelled.

    Nothing is told about the beginning of a secret: neither what is held back nor how long looking takes depends on
    whether a text has some of one, as texts are compared by their digests, whole.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._spellings = frozenset(one for secret in secrets for one in _spellings(secret))
        self._lengths: dict[bytes, list[int]] = {}
        """Of the spellings by their first bytes, the longest first."""
        for one in sorted(self._spellings, key=len, reverse=True):
            lengths = self._lengths.setdefault(one[:SHORTEST], [])
            if len(one) not in lengths:
                lengths.append(len(one))
        self._held = -(-max(map(len, self._spellings), default=0) // _STEP) * _STEP
        self._has_lines = any(b"\n" in one for one in self._spellings)

    def clean(self, raw: bytes) -> bytes:
        return self._clean_until(raw, len(raw))[0]

    def clean_text(self, text: str) -> str:
        return self.clean(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def stream(self) -> Stream:
        return Stream(self)

    def split(self, raw: bytes) -> tuple[bytes, bytes]:
        """What can be passed on, cleaned, and the end, in which the beginning of a secret might be.

        Where it is cut depends on how much there is and where its lines end, not on any secret.
        """
        line = 0 if self._has_lines else raw.rfind(b"\n") + 1
        return self._clean_until(raw, max(line, len(raw) - self._held))

    def _clean_until(self, raw: bytes, end: int) -> tuple[bytes, bytes]:
        """The beginning, without the secrets that begin in it, and what follows."""
        parts, done, lengths = [], 0, self._lengths
        for at in range(end):
            if raw[at : at + SHORTEST] in lengths and at >= done and (size := self._size_at(raw, at)):
                parts += [raw[done:at], REDACTED]
                done = at + size
        end = max(end, done, 0)
        return b"".join((*parts, raw[done:end])), raw[end:]

    def _size_at(self, raw: bytes, at: int) -> int:
        """How long the spelling is that stands here; 0 if there is none."""
        sizes = self._lengths[raw[at : at + SHORTEST]]
        return next((size for size in sizes if raw[at : at + size] in self._spellings), 0)


class Stream:
    """One answer on its way."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber, self._held = scrubber, b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on now."""
        passed, self._held = self._scrubber.split(self._held + chunk)
        return passed

    def finish(self) -> bytes:
        """What was held back, once nothing follows."""
        rest, self._held = self._held, b""
        return self._scrubber.clean(rest)


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
