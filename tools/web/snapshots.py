"""Snapshots: every page that was fetched, kept as it was, so that a citation of it can be checked for ever."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag, urlsplit

from signoff.tools.documents.blocks import Document, Span
from signoff.tools.documents.limited_reader import read_document_apart
from signoff.tools.documents.plain_text import is_charset
from signoff.tools.errors import BlobMissing, SnapshotChanged, UnknownSource
from signoff.tools.storage.atomic import write_whole
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.workspaces import current_thread
from signoff.tools.web.fetch import Fetched

PREFIX: Final = "web:"
"""How the source of a snapshot begins; a document of a folder has a path there."""

_SOURCE = re.compile(r"web:.+@([0-9a-f]{16})", re.DOTALL)
_LONGEST_PATH = 100
_ODD = re.compile(r"[^\w.~/-]+")

Fetch = Callable[[str], Fetched]
"""Fetches a page by its address; PageRefused if it does not."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A page as it was at one moment."""

    source: str
    """`web:<host>/<path>@<digest>`: the digest is of all that follows here."""
    asked: str
    """The address that was asked for."""
    address: str
    """Where it was found in the end."""
    fetched: str
    """When, in UTC: `2026-11-23T10:15:00Z`."""
    content_type: str
    raw_sha256: str
    """Of the bytes, unpacked; kept as a blob."""
    text_sha256: str
    """Of the text that was taken from them, which citations point into; kept as a blob."""
    title: str
    spans: tuple[tuple[int, int, str, str], ...]
    """Start, end, kind and heading of each passage of the text."""

    @property
    def origin(self) -> str:
        """Where it stood and when, as a list of sources shows it."""
        return f"{self.address}, fetched {self.fetched[:10]}"


class Snapshots:
    """The pages that were fetched under one `home`, and which run saw which. Threads and processes may share it.

    A run sees each page once: asking again, also after a crash, gives the snapshot it has. A run is a LangGraph thread;
    outside of any, this object counts as one.
    """

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.home = Path(home).expanduser().absolute()
        self._folder = self.home / "snapshots"
        self._blobs = Blobs(self.home)
        self._own = uuid.uuid4().hex

    @property
    def run(self) -> str:
        """A name for the run whose step asks, fit for a file's name."""
        return _short(current_thread() or self._own)

    def visit(self, address: str, fetch: Fetch) -> Snapshot:
        """The run's snapshot of a page, fetched if it has none."""
        seen = self._seen(address)
        if not seen.exists():
            snapshot = self._keep(address.strip(), fetch(address))
            write_whole(self._seen(snapshot.address), snapshot.source.encode(), replace=False)
            write_whole(seen, snapshot.source.encode(), replace=False)  # a call beside this one may have been faster
        return self.find(seen.read_text(encoding="utf-8"))

    def visited(self) -> tuple[str, ...]:
        """The sources of the run's snapshots."""
        try:
            seen = [file for file in self._of_run.iterdir() if not file.suffix]
        except FileNotFoundError:
            return ()
        return tuple(sorted({file.read_text(encoding="utf-8") for file in seen}))

    def source_of(self, address: str) -> str:
        """The source of the run's snapshot of an address; what is given if there is none."""
        try:
            return self._seen(address).read_text(encoding="utf-8")
        except FileNotFoundError:
            return address

    def find(self, source: str) -> Snapshot:
        """The snapshot of this name, of whichever run; UnknownSource if there is none, or it was changed."""
        named = _SOURCE.fullmatch(source)
        if named is None:
            raise UnknownSource(source)
        try:
            raw = self._record(named[1]).read_bytes()
        except FileNotFoundError:
            raise UnknownSource(source) from None
        if hashlib.sha256(raw).hexdigest()[:16] != named[1]:
            raise SnapshotChanged(source)
        fields: dict[str, Any] = json.loads(raw)
        spans = tuple((start, end, kind, heading) for start, end, kind, heading in fields.pop("spans"))
        found = Snapshot(source=_name(fields["address"], named[1]), spans=spans, **fields)
        if found.source != source:
            raise UnknownSource(source)
        return found

    def text(self, source: str) -> str:
        """The text that was taken from a page; UnknownSource if there is none, or it was changed since."""
        return self._read(self.find(source)).decode()

    def document(self, snapshot: Snapshot) -> Document:
        spans = tuple(Span(*span) for span in snapshot.spans)
        return Document(snapshot.title, self._read(snapshot).decode(), spans)

    def remember(self, what: str, make: Callable[[], Any]) -> Any:
        """What a run was told when it asked this first, as JSON values; made if it did not ask yet."""
        place = self._of_run / f"{_short(what)}.json"
        with suppress(FileNotFoundError):
            return json.loads(place.read_bytes())
        write_whole(place, json.dumps(make()).encode(), replace=False)
        return json.loads(place.read_bytes())

    def _keep(self, asked: str, page: Fetched) -> Snapshot:
        document = read_page(page)
        fields = {
            "asked": asked,
            "address": page.address,
            "fetched": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "content_type": page.content_type,
            "raw_sha256": self._blobs.keep(page.raw),
            "text_sha256": self._blobs.keep(document.text.encode()),
            "title": document.title,
            "spans": [(span.start, span.end, span.kind, span.heading) for span in document.spans],
        }
        record = json.dumps(fields, sort_keys=True).encode()
        digest = hashlib.sha256(record).hexdigest()[:16]
        write_whole(self._record(digest), record, replace=False)
        return self.find(_name(page.address, digest))

    def _read(self, snapshot: Snapshot) -> bytes:
        try:
            return self._blobs.read(snapshot.text_sha256)
        except BlobMissing as error:
            raise SnapshotChanged(snapshot.source) from error

    def _record(self, digest: str) -> Path:
        return self._folder / "pages" / f"{digest}.json"

    def _seen(self, address: str) -> Path:
        """Where it is noted which snapshot the run has of an address."""
        return self._of_run / _short(urldefrag(address.strip()).url)

    @property
    def _of_run(self) -> Path:
        return self._folder / "runs" / self.run


def read_page(page: Fetched) -> Document:
    """The text of a page; Unreadable if there is none in it."""
    raw, kind = page.raw, page.content_type
    if page.encoding and is_charset(page.encoding):
        with suppress(LookupError):  # no such encoding: go by the content
            raw = b"\xef\xbb\xbf" + raw.decode(page.encoding, "replace").encode("utf-8", "replace")
    suffix = "html" if "html" in kind else "json" if kind.endswith("json") else "txt"
    name = urlsplit(page.address).path.rpartition("/")[2] or urlsplit(page.address).netloc
    return read_document_apart(f"{name[:80]}.{suffix}" if not name.endswith(f".{suffix}") else name[-80:], raw)


def is_snapshot(source: str) -> bool:
    return source.startswith(PREFIX)


def _name(address: str, digest: str) -> str:
    """The source of a snapshot, which tells a person where it is from, and a machine what it is."""
    parts = urlsplit(address)
    path = _ODD.sub("-", parts.path.strip("/"))[:_LONGEST_PATH]
    return f"{PREFIX}{parts.netloc}/{path}@{digest}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
