"""What each format becomes."""

from __future__ import annotations

import json

import pytest

from signoff.errors import Unreadable
from signoff.tools.documents.blocks import Document
from signoff.tools.documents.reader import read_document


def passages(document: Document) -> list[tuple[str, str, str]]:
    return [(span.kind, span.heading, document.text[span.start : span.end]) for span in document.spans]


def read(name: str, text: str) -> list[tuple[str, str, str]]:
    return passages(read_document(name, text.encode()))


MARKDOWN = """---
title: "The plan"
---
import Card from '@site/src/Card';
import './style.css';

# Results

Sales rose **12%** in *Q3*[^1], see [the table](http://example.com/t)
and `code()`. ![chart](chart.png)

> [!NOTE]
> Take care.

These apply:

- one **thing**
- two

```python
x = 1
```

| Region | Sales |
|--------|------:|
| North  | 10    |

Setext
------
<b>Bold</b> ~~gone~~ end &amp; <script>alert(1)</script>

[^1]: Preliminary.
"""


def test_markdown_loses_its_markup_and_keeps_its_words() -> None:
    document = read_document("a.md", MARKDOWN.encode())
    assert document.title == "The plan"
    assert passages(document) == [
        (
            "prose",
            "Results",
            "Sales rose 12% in Q3, see the table and code().\n\nTake care.\n\nThese apply:\n\n- one thing\n- two\n\n"
            "x = 1",
        ),
        ("table", "Results", "Region: North; Sales: 10"),
        ("prose", "Results › Setext", "Bold end &\n\nPreliminary."),
    ]


RST = """\
=====
Guide
=====

:Author: Nobody

Call :func:`~os.path.join` or :py:class:`Thing <a.Thing>`, ``literally``, see [1]_ and `docs <http://e.com>`_.

.. versionadded:: 3.8
   A *new* thing.

.. code-block:: python
   :caption: unknown option

   x = 1

.. frobnicate:: argument
   :option: value

   Kept :emphasis:`content`.

Term
   What it means.

* one
* two

  .. code:: sh

     ls

  and on

.. list-table::
   :header-rows: 1

   * - Name
     - Value
   * - red
     - 1

.. toctree::
   nothing

.. include:: /etc/passwd

.. raw:: html

   <b>raw</b>

.. [1] A note.

.. a comment
"""


def test_rst_with_roles_and_directives_of_sphinx_reads_as_prose() -> None:
    document = read_document("a.rst", RST.encode())
    assert document.title == "Guide"
    assert passages(document) == [
        (
            "prose",
            "",
            "Call join or Thing, literally, see and docs.\n\nAdded in version 3.8\n\nA new thing.\n\nx = 1\n\n"
            "argument\n\nKept content.\n\nTerm: What it means.\n\n- one\n- two\n\nls\n\nand on",
        ),
        ("table", "", "Name: red; Value: 1"),
        ("prose", "", "A note."),
    ]
    assert "root:" not in document.text
    assert "raw" not in document.text


def test_a_pep_has_its_number_and_title_and_no_header_in_its_prose() -> None:
    document = read_document(
        "pep.rst", b"PEP: 9999\nTitle: A Thing\n  To Have\nAuthor: A <a@b.c>\n\n\nWhy\n===\n\nIt is.\n"
    )
    assert document.title == "PEP 9999 – A Thing To Have"
    assert passages(document) == [("prose", "Why", "It is.")]


def test_rst_that_would_take_minutes_to_parse_is_read_as_plain_text() -> None:
    document = read_document("a.rst", b"*a " * 20_000)
    assert document.text.startswith("*a *a")


def test_reading_rst_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    read_document("a.rst", b"Title\n==\n\n`broken :role:`x` |sub|_ *a\n\n.. code::\n   :x: y\n")
    assert capfd.readouterr() == ("", "")


HTML = """<!DOCTYPE html><html><head><title>Manual | Site</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><header><p>Site banner</p></header>
<main><h1>Manual<a class="headerlink" href="#m">¶</a></h1>
<p>First <b>bold</b> words<sup><a href="#1">[1]</a></sup>, x<sup>2</sup>.<br>Next.</p>
<ul><li>one<ul><li>deep</li></ul></li><li><p>two</p><pre>  code\n    more</pre><p>goes on</p></li></ul>
<ol start="3"><li>three</li></ol>
<table><tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><td>7</td></tr></table>
<dl><dt>Term</dt><dd>Its meaning.</dd></dl>
<p hidden>secret</p><div style="display: none">none</div><script>var x = 1</script>
<h2>More</h2>Loose text.</main>
<aside role="complementary">Related</aside><footer>Imprint</footer></body></html>"""


def test_html_gives_its_main_part_without_what_surrounds_it() -> None:
    document = read_document("a.html", HTML.encode())
    assert document.title == "Manual"
    assert passages(document) == [
        (
            "prose",
            "",
            "First bold words, x^2. Next.\n\n- one\n  - deep\n- two\n\n  code\n    more\n\ngoes on\n\n3. three",
        ),
        ("table", "", "Name: Ann; Age: 7"),
        ("prose", "", "Term: Its meaning."),
        ("prose", "More", "Loose text."),
    ]


@pytest.mark.parametrize("stated", ["iso-8859-2", "no-such-encoding", ""])
def test_html_is_decoded_as_it_says_if_that_is_known(stated: str) -> None:
    encoding = stated if stated == "iso-8859-2" else "utf-8"
    page = f'<meta charset="{stated}"><p>Dvořák</p>'
    assert read_document("a.html", page.encode(encoding)).text == "Dvořák"


def test_a_table_that_lays_out_a_page_is_read_as_the_page() -> None:
    page = "<table><tr><td><h2>Left</h2><p>One.</p><p>Two.</p><p>Three.</p></td><td>x</td></tr></table>"
    assert ("prose", "", "One.\n\nTwo.\n\nThree.\n\nx") in read("a.html", page)


TEXT = """The Title
=========

A paragraph whose lines are wrapped at about this many characters of
width, so that they are put to-
gether again.

1. Introduction

- first item
  goes on
- second item

Roses are red,
Violets are blue.

name      age
Ann       7
Bob       8

CONCLUSIONS

We put it together.
"""


def test_plain_text_gets_its_paragraphs_headings_lists_and_columns_back() -> None:
    document = read_document("a.txt", TEXT.encode())
    assert document.title == "The Title"
    assert passages(document) == [
        (
            "prose",
            "",
            "A paragraph whose lines are wrapped at about this many characters of width, "
            "so that they are put together again.",
        ),
        (
            "prose",
            "1. Introduction",
            "- first item goes on\n- second item\n\nRoses are red,\nViolets are blue.\n\n"
            "name      age\nAnn       7\nBob       8",
        ),
        ("prose", "CONCLUSIONS", "We put it together."),
    ]


def test_running_headers_and_page_numbers_of_a_paged_text_are_dropped() -> None:
    page = "RFC 1   Things   May 2024\n\nPage {0} says number {0}, which is what it is about.\n\nDoe   [Page {0}]\n"
    text = "\f".join(page.format(number) for number in range(1, 6))
    found = read_document("rfc.txt", text.encode()).text
    assert "RFC 1" not in found
    assert "[Page" not in found
    assert "Page 3 says number 3" in found


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße".encode("utf-32"), "Grüße"),
        ("“Grüße” aus dem Süden – für nur 5 €".encode("cp1252"), "“Grüße” aus dem Süden – für nur 5 €"),
        (
            "Grüße aus Köln, schöne Tage, auch künftig".encode() + b"\xff",
            "Grüße aus Köln, schöne Tage, auch künftig\ufffd",
        ),
        (b"a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_text_in_any_usual_encoding_is_read(raw: bytes, text: str) -> None:
    assert read_document("a.txt", raw).text == text


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t", "empty"),
        ("a.txt", b"text\0text", "not a text file"),
        ("a.md", bytes(range(1, 256)) * 4, "not a text file"),
        ("a.txt", "Москва и Петербург".encode("cp1251"), "its encoding is not known"),
        ("a.png", b"text", ".png files cannot be read"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.ipynb", b"{}", "not a Jupyter notebook"),
        ("a.csv", b'a,b\n"' + b"x" * 200_000 + b'"', "rows cannot be told apart"),
        ("a.pdf", b"%PDF-1.4 nonsense", "a damaged PDF"),
        ("a.docx", b"PK nonsense", "a damaged Word file"),
        ("a.docx", b"\xd0\xcf\x11\xe0 old", "a locked or old Word file"),
        ("a.html", b"<script>only()</script>", "no text in it"),
        ("a.rst", b".. comment\n", "no text in it"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_document(name, raw)


def test_csv_rows_are_lines_that_name_their_columns() -> None:
    assert read("a.csv", 'Name;City;Sum\nAnn;"New\nYork";1,5\nBob;;2\n') == [
        ("table", "", "Name: Ann; City: New York; Sum: 1,5\nName: Bob; Sum: 2")
    ]


def test_csv_without_names_and_tsv_are_read_too() -> None:
    assert read("a.csv", "1,2\n3,4\n") == [("table", "", "1; 2\n3; 4")]
    assert read("a.tsv", "a, b\tc\nd\te\n") == [("table", "", "a, b: d; c: e")]


def test_json_is_lines_with_the_way_to_each_value() -> None:
    value = {"name": "svc", "deps": [{"n": "a", "v": 1}, {"n": "b", "v": None}], "deep": {"x": {"y": [1, 2]}}}
    assert read("a.json", json.dumps(value)) == [
        ("table", "", "name: svc"),
        ("table", "deps", "n: a; v: 1\nn: b; v: null"),
        ("table", "deep", "x.y: 1, 2"),
    ]


def test_json_records_and_json_lines_are_a_line_each() -> None:
    records = [{"q": "What?", "a": "That."}, {"q": "Why?", "tags": ["x", "y"]}]
    expected = [("table", "", "q: What?; a: That.\nq: Why?; tags: x, y")]
    assert read("a.json", json.dumps(records)) == expected
    assert read("a.jsonl", "\n".join(map(json.dumps, records))) == expected


def test_docstrings_are_prose_under_the_name_of_what_they_describe() -> None:
    source = '"""What the module\nis for."""\nimport os\n\n\nclass Thing:\n    """It is."""\n\n    @property\n'
    source += '    def size(self) -> int:\n        """How ``large``."""\n        return 1\n'
    document = read_document("pkg/thing.py", source.encode())
    assert document.title == "thing.py"
    assert passages(document) == [
        ("prose", "", "What the module\nis for.\n\nimport os"),
        ("prose", "Thing", "class Thing:\n\nIt is."),
        (
            "prose",
            "Thing › Thing.size",
            "    @property\n    def size(self) -> int:\n\nHow large.\n\n        return 1",
        ),
    ]


def test_code_that_does_not_parse_is_still_read() -> None:
    assert read("a.py", "def broken(:\n  pass\n") == [("code", "broken", "def broken(:\n  pass")]


def test_comments_of_other_languages_are_prose_and_declarations_are_headings() -> None:
    source = "// Does the thing that has to be done, with all the care\n// and the attention that it needs.\n"
    source += "func Do(a int) {\n\treturn // x\n}\n"
    source += (
        "/* One\n * two is a comment that is long enough to be prose of its own\n * for sure. */\ntype T struct {}\n"
    )
    assert read("a.go", source) == [
        ("prose", "", "Does the thing that has to be done, with all the care and the attention that it needs."),
        (
            "prose",
            "Do",
            "func Do(a int) {\n\treturn // x\n}\n\n"
            "One two is a comment that is long enough to be prose of its own for sure.",
        ),
        ("code", "T", "type T struct {}"),
    ]


def test_a_notebook_gives_its_words_and_its_code_and_no_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "We *look*."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "OUTPUT"}]},
    ]
    document = read_document("a.ipynb", json.dumps({"cells": cells}).encode())
    assert document.title == "Study"
    assert passages(document) == [("prose", "", "We look.\n\nprint(1)")]


def test_a_text_file_of_no_known_kind_is_read_by_its_content() -> None:
    assert read("LICENSE", "You may use it.") == [("prose", "", "You may use it.")]
    with pytest.raises(Unreadable, match="not a text file"):
        read_document("core", b"\x7fELF\0\0")


README = b"""Ferry
=====

.. image:: https://a.b/badge.svg
.. _next: https://a.b

**Ferry** is small.

.. setting:: crew_size

Size of the crew
----------------

=========  ========
**Crew**   **Boat**
four       large
=========  ========
"""


@pytest.mark.parametrize("name", ["README.rst", "README.md"])
def test_rst_is_known_by_what_stands_in_it_and_marks_of_places_say_nothing(name: str) -> None:
    document = read_document(name, README)
    assert document.title == "Ferry"
    assert document.text == "Ferry\n\nFerry is small.\n\nSize of the crew\n\nCrew: four; Boat: large"


def test_links_to_the_pages_before_and_after_are_no_text() -> None:
    links = '<ul><li><a accesskey="p" href="a">Prev 1. A</a></li><li><a rel="next" href="b">Next</a></li></ul>'
    page = f"<title>Boats</title>{links}<p>A boat <a href='c'>sails</a>.</p>{links}"
    assert read_document("a.html", page.encode()).text == "A boat sails."


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.txt", "It is set so:\n\n        # a comment in an example\n        x = 1\n", "a.txt"),
        ("a.txt", "1. Introduction\n\nIt is.\n", "a.txt"),
        ("a.md", "# 1. Introduction\n\nIt is.\n\n# 2. Boats\n\nThey are.\n", "a.md"),
        ("a.md", "# 7. A chapter by itself\n\nIt is.\n", "7. A chapter by itself"),
        ("a.txt", "          THE FERRY LICENSE\n          Version 2\n\nTERMS OF USE\n\nIt is.\n", "THE FERRY LICENSE"),
    ],
)
def test_a_chapter_names_no_document_and_what_stands_in_the_middle_does(name: str, text: str, title: str) -> None:
    assert read_document(name, text.encode()).title == title
