"""Documents to read, made here so that nothing binary lies in the repository; and what tests of projects share."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import docx
import pytest
from pypdf import PdfReader, PdfWriter

from signoff.tools.action import Action
from signoff.tools.files.project import Project
from signoff.tools.search.sources import Sources
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool

PdfLine = tuple[float, float, str]
"""Height on the page, size of the letters, text."""


def make_pdf(pages: Sequence[Sequence[PdfLine]], *, title: str = "", password: str | None = None) -> bytes:
    """A PDF with these lines on its pages."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    kids = []
    for lines in pages:
        shown = [f"BT /F1 {size} Tf 1 0 0 1 50 {y} Tm ({text}) Tj ET" for y, size, text in lines]
        stream = "\n".join(shown).encode("cp1252")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    raw = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(raw))
        raw += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(raw))
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(raw + head + table + tail)))
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def make_word(build: Callable[[docx.document.Document], None]) -> bytes:
    """A Word document that `build` fills."""
    document = docx.Document()
    build(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def rewrite_part(raw: bytes, part: str, old: str, new: str) -> bytes:
    """The Word document with this text replaced in one of its parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.infolist():
            body = source.read(item)
            if item.filename == part:
                assert old.encode() in body
                body = body.replace(old.encode(), new.encode())
            target.writestr(item, body)
    return out.getvalue()


@pytest.fixture
def pdf() -> Callable[..., bytes]:
    return make_pdf


@pytest.fixture
def word() -> Callable[[Callable[[docx.document.Document], None]], bytes]:
    return make_word


@pytest.fixture
def rewritten() -> Callable[[bytes, str, str, str], bytes]:
    return rewrite_part


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for documents."""
    place = tmp_path / "documents"
    place.mkdir()
    return place


@pytest.fixture
def opened() -> Iterator[Callable[..., Sources]]:
    """Opens sources, and closes them after the test."""
    every: list[Sources] = []

    def open_sources(folder: Path, **options: object) -> Sources:
        every.append(Sources.open(folder, **options))  # type: ignore[arg-type]  # passed on as the test gives them
        return every[-1]

    yield open_sources
    for sources in every:
        sources.close()


@pytest.fixture(scope="session")
def serving() -> Callable[[HTTPServer], AbstractContextManager[int]]:
    """Lets a server answer in a context, and gives its port."""

    @contextmanager
    def serve(server: HTTPServer) -> Iterator[int]:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
        server.server_close()

    return serve


@pytest.fixture
def project(folder: Path, tmp_path: Path) -> Project:
    """A project in the `folder` of the test, with copies of its own."""
    return Project(folder, workspaces=Workspaces(tmp_path / "kept"))


@pytest.fixture
def use(tools: tuple[Tool | Action[Any], ...]) -> Callable[..., str]:
    """Calls one of the `tools` of the test by its name."""
    named = {tool.name: tool for tool in tools}

    def call(name: str, /, **arguments: Any) -> str:
        tool = named[name]
        assert isinstance(tool, Tool)
        return str(tool.invoke(arguments))

    return call
