"""Files that are broken, or made to break a reader."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from time import monotonic

import docx
import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import Unreadable
from signoff.tools.documents.blocks import LONGEST
from signoff.tools.documents.reader import read_document

MARKDOWN = b"""---
title: T
---
# One

A *b* `c` [d](http://e)[^1].

- x
  - y

    ```sh
    ls
    ```

| a | b |
|---|---|
| 1 | 2 |

> q
"""
RST = b"""PEP: 1
Title: T

One
===

A *b* ``c`` :role:`d <e>` [1]_ |s| `f <g>`_.

.. note:: n

   * x

     .. foo:: bar
        :o: v

        text

.. |s| replace:: t
.. [1] n

+---+---+
| a | b |
+---+---+
"""
HTML = b"<html><head><title>T</title></head><body><main><h1>One</h1><p>A<b>b</b></p><ul><li>x<ol><li>y<pre>z</pre>w"
HTML += b"</ol></ul><table><tr><th>a<th>b<tr><td>1<td>2</table><dl><dt>t<dd>d</dl><br>end</main></body></html>"
PYTHON = (
    b'"""M."""\nimport os\n\n\nclass A:\n    """D."""\n\n    @x\n    def f(self):\n        """E."""\n        return 1\n'
)
CODE = b"// a\n/* b\n * c\n */\nfunc F() {\n}\n[section]\nclass C\n"
TEXT = b"Title\n=====\n\n1. One\n\n- a\n  b\n\nx   y\n1   2\n\fPage 2\n\nText that is wrap-\nped here.\n"
NOTEBOOK = json.dumps({"cells": [{"cell_type": "markdown", "source": ["# x"]}, {"cell_type": "code", "source": "y"}]})


@cache
def word() -> bytes:
    document = docx.Document()
    document.add_heading("One", 1)
    document.add_paragraph("x", style="List Bullet")
    document.add_table(2, 2).cell(0, 0).text = "a"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


SEEDS: dict[str, Callable[[], bytes]] = {
    "a.md": lambda: MARKDOWN,
    "a.rst": lambda: RST,
    "a.html": lambda: HTML,
    "a.py": lambda: PYTHON,
    "a.go": lambda: CODE,
    "a.txt": lambda: TEXT,
    "a.csv": lambda: b'a;b\n1;"2\n3"\n',
    "a.json": lambda: b'{"a": [1, {"b": null}], "c": "d"}',
    "a.jsonl": lambda: b'{"a": 1}\n{"a": 2}\n',
    "a.ipynb": lambda: NOTEBOOK.encode(),
    "a.docx": word,
    "a.pdf": lambda: b"",
}
SCRAPS = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\f", b"\n\n", b"`", b"*", b"|", b"[", b"<ul>", b"</li>", b"<table>"]
SCRAPS += [
    b"```",
    b'"""',
    b"\n.. x::\n   ",
    b"\n====\n",
    b"{",
    b'"',
    b"\\",
    b"    ",
    b"<!--",
    b"&#0;",
    b"endobj",
    b"<<",
]
CHANGE = st.tuples(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from(SCRAPS) | st.binary(max_size=20))


def change(raw: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace pieces of the file."""
    for place, length, new in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + new + raw[at + length :]
    return raw


def change_parts(raw: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace pieces of the files inside a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(out, "w") as target:
        for at, item in enumerate(source.infolist()):
            target.writestr(item.filename, change(source.read(item), changes[at :: len(source.infolist())]))
    return out.getvalue()


def read_or_refuse(name: str, raw: bytes) -> None:
    """Either it is unreadable, or all that is stored of it can be stored and quoted."""
    try:
        document = read_document(name, raw)
    except Unreadable as error:
        refused = error.reason
    else:
        refused = ""
    assert "\n" not in refused
    if refused:
        return
    document.text.encode("utf-8")
    document.title.encode("utf-8")
    assert document.spans
    for span in document.spans:
        assert document.text[span.start : span.end].strip()
        assert span.end - span.start <= LONGEST


@pytest.mark.parametrize("name", SEEDS)
@settings(deadline=None, max_examples=60)
@given(changes=st.lists(CHANGE, max_size=12), inside=st.booleans())
def test_no_damage_to_a_file_raises_anything_but_unreadable(
    name: str, changes: list[tuple[int, int, bytes]], inside: bool
) -> None:
    raw = SEEDS[name]()
    read_or_refuse(name, change_parts(raw, changes) if inside and name == "a.docx" else change(raw, changes))


@pytest.mark.parametrize("place", range(0, 1400, 50))
def test_no_damage_to_a_pdf_raises_anything_but_unreadable(pdf: Callable[..., bytes], place: int) -> None:
    raw = pdf([[(700, 10, "A sentence.")], [(700, 10, "Another.")]])
    for new in SCRAPS:
        read_or_refuse("a.pdf", change(raw, [(place, len(new), new)]))
    read_or_refuse("a.pdf", raw[:place])


DEEP = 50_000


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("nested.json", b"[" * DEEP),
        ("nested.json", b'{"a":' * DEEP),
        ("nested.html", b"<div>x" * DEEP),
        ("nested.html", b"<ul><li>x" * DEEP),
        ("nested.html", b"<table><tr><td>" * DEEP),
        ("nested.md", b">" * DEEP),
        ("nested.md", b"[" * DEEP),
        ("nested.md", b"".join(b" " * (2 * depth) + b"- a\n" for depth in range(300))),
        ("nested.rst", b"".join(b" " * (2 * depth) + b"* a\n\n" for depth in range(300))),
        ("nested.rst", b"".join(b" " * (3 * depth) + b".. foo:: x\n\n" for depth in range(200))),
        ("nested.rst", b".. |a| replace:: |b|\n.. |b| replace:: |a|\n\n|a| |b|\n"),
        ("nested.py", b"(" * DEEP),
        ("nested.py", b"-" * DEEP + b"1"),
        ("marks.rst", b"`a " * DEEP),
        ("marks.rst", b"|a " * DEEP),
        ("marks.md", b"**a_*" * DEEP),
        ("blanks.txt", b"a" + b" " * DEEP + b"b"),
        ("blanks.txt", (b"a   " * 1000 + b"\n") * 50),
        ("blanks.md", b" " * DEEP + b":"),
        ("comment.c", b"/*" + b" a\n" * DEEP),
        ("comment.c", b"/* a\n" * DEEP),
        ("one-line.txt", b"x" * 20 * DEEP),
        ("pages.txt", b"a\f" * DEEP),
        ("quotes.csv", b'"' * DEEP),
        ("wide.csv", b"a," * DEEP + b"\n" + b"b," * DEEP),
        ("entities.html", b'<!DOCTYPE a [<!ENTITY a "&b;&b;"><!ENTITY b "&a;&a;">]><p>&a;x</p>'),
    ],
)
def test_a_file_made_to_be_slow_or_deep_is_done_with_soon(name: str, raw: bytes) -> None:
    started = monotonic()
    read_or_refuse(name, raw)
    assert monotonic() - started < 30


def test_a_docx_whose_properties_are_no_properties_is_unreadable_not_fatal() -> None:
    written, buffer = io.BytesIO(), io.BytesIO()
    docx.Document().save(written)
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(buffer, "w") as changed:
        for part in whole.namelist():
            raw = whole.read(part)
            changed.writestr(part, raw.replace(b"core-properties+xml", b"core-propertie+xml"))
    with pytest.raises(Unreadable, match="damaged"):
        read_document("a.docx", buffer.getvalue())
