"""A report is written as its file's name asks for it, and holds what the Markdown says."""

from __future__ import annotations

import io
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import docx
import pytest

from signoff.errors import ActionFailed, SettingsError
from signoff.tools.documents.docx import read_word
from signoff.tools.documents.html import read_html
from signoff.tools.publishing import Attachment, Publication, publish_report
from signoff.tools.publishing.formats import format_of, render
from signoff.tools.storage import Blobs


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(width: int, height: int) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    dots = _chunk(b"IDAT", zlib.compress(bytes((width + 1) * height)))
    return b"".join((b"\x89PNG\r\n\x1a\n", head, dots, _chunk(b"IEND", b"")))


PNG = picture(1, 1)
REPORT = """# Why does the **tide** rise?

The moon pulls the water [1], see [the page](https://example.org/tides).

> The tide rises twice a day. [1]
>
> — *Tides*, `tides.md`

- one
  - deeper
- two

3. third

   more of it
4. fourth

| place | metres |
| --- | --- |
| Brest | 6.1 |

```sql
  select 1
```

![The tide](chart.png)

![tracker](https://evil.example/x.png) <script>alert(1)</script>
"""


class Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "background")]


def test_a_page_holds_its_pictures_and_loads_nothing() -> None:
    raw, inside = render("html", REPORT, {"chart.png": PNG, "numbers.csv": b"a,b"})
    page = Page(raw.decode())
    assert inside == {"chart.png"}
    assert [source[:22] for source in page.loaded] == ["data:image/png;base64,"]
    assert "script" not in page.tags
    assert {"h1", "blockquote", "table", "ol", "ul", "pre"} <= set(page.tags)
    assert b"default-src 'none'" in raw
    assert b"<title>Why does the tide rise?</title>" in raw


def test_a_word_document_reads_back_as_what_the_markdown_says() -> None:
    raw, inside = render("word", REPORT, {"chart.png": PNG})
    assert inside == {"chart.png"}
    title, blocks = read_word(raw)
    assert title == "Why does the tide rise?"
    texts = [block.text for block in blocks]
    assert "The tide rises twice a day. [1]" in texts
    assert "- one\n- deeper\n- two\n- 3. third\n- more of it\n- 4. fourth" in texts
    assert "select 1" in {text.strip() for text in texts}
    assert any("Brest" in text and "6.1" in text for text in texts)
    assert "tracker (https://evil.example/x.png) <script>alert(1)</script>" in texts
    document = docx.Document(io.BytesIO(raw))
    styles = {line.text: line.style.name for line in document.paragraphs if line.style is not None}
    assert (styles["one"], styles["deeper"], styles["3. third"]) == ("List Bullet", "List Bullet 2", "List")
    assert len(document.inline_shapes) == 1
    assert "https://example.org/tides" in {part.target_ref for part in document.part.rels.values() if part.is_external}
    assert not any("evil" in part.target_ref for part in document.part.rels.values())


def test_words_that_run_leftwards_begin_at_the_right() -> None:
    text = "# שלום\n\nמה שלומך (1) abc?\n\n- אחת\n- one\n\n| אחת | two |\n|---|---|\n| 7 | שתיים |\n"
    document = docx.Document(io.BytesIO(render("word", text, {})[0]))
    lines = [*document.paragraphs, *(cell.paragraphs[0] for row in document.tables[0].rows for cell in row.cells)]
    turned = [line.text for line in lines if line._p.pPr is not None and "bidi" in line._p.pPr.xml.split(">", 1)[1]]
    assert turned == ["שלום", "מה שלומך (1) abc?", "אחת", "אחת", "שתיים"]
    assert [line.runs[0].font.rtl for line in lines] == [True, True, True, None, True, None, None, True]
    assert "unicode-bidi: plaintext" in render("html", text, {})[0].decode()


@pytest.mark.parametrize(("size", "inches"), [((72, 36), (1, 0.5)), ((1440, 720), (6, 3)), ((144, 1440), (0.8, 8))])
def test_a_picture_in_a_word_document_fits_its_page_and_is_not_blown_up(
    size: tuple[int, int], inches: tuple[float, float]
) -> None:
    raw, _ = render("word", "![c](chart.png)", {"chart.png": picture(*size)})
    (shown,) = docx.Document(io.BytesIO(raw)).inline_shapes
    assert (round(shown.width.inches, 2), round(shown.height.inches, 2)) == inches


def test_the_same_report_is_the_same_file_whenever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    first = render("word", REPORT, {"chart.png": PNG})
    later = time.localtime(time.time() + 1e6)
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    assert render("word", REPORT, {"chart.png": PNG}) == first


@pytest.mark.parametrize("form", ["html", "word"])
@pytest.mark.parametrize(
    "text", ["", "a\0b\x07\ufffe", "|a|\n|-|", "> " * 300 + "x", "- " * 300 + "x", "# \n\n![](<>)", "***"]
)
def test_every_text_can_be_written(form: str, text: str) -> None:
    raw, _ = render("html" if form == "html" else "word", text, {})
    read = read_html(raw.decode()) if form == "html" else read_word(raw)
    assert read is not None


def test_a_report_with_its_chart_is_one_file_that_is_read_back(folder: Path, tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "kept")
    chart = Attachment(name="chart.png", sha256=blobs.keep(PNG), bytes=len(PNG))
    data = Attachment(name="numbers.csv", sha256=blobs.keep(b"a,b"), bytes=3)
    action = publish_report(folder, blobs=blobs)
    assert action.reconcile is not None
    assert action.preview is not None
    for name in ("a.docx", "a.html"):
        report = Publication(path=name, content=REPORT, attachments=(chart, data))
        assert action.reconcile(report, "key") is None
        assert "made of the Markdown below" in action.preview(report)
        assert action.call(report, "key") == action.reconcile(report, "key")
    assert sorted(path.name for path in folder.iterdir()) == ["a.docx", "a.html", "numbers.csv"]


def test_a_damaged_picture_is_named_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    blobs, broken = Blobs(tmp_path / "kept"), PNG[:40]
    chart = Attachment(name="chart.png", sha256=blobs.keep(broken), bytes=len(broken))
    with pytest.raises(ActionFailed, match=r"'chart\.png' cannot be put into a Word document"):
        publish_report(folder, blobs=blobs).call(Publication(path="a.docx", content=REPORT, attachments=(chart,)), "k")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["report.pdf", "REPORT.ODT", "a.xlsx"])
def test_a_kind_of_file_that_no_report_can_be_is_refused_before_anything_is_written(name: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"Name a file that ends in \.md, \.html or \.docx"):
        format_of(name)
    with pytest.raises(ActionFailed, match="no report can be written as"):
        publish_report(folder).call(Publication(path=name, content="x"), "key")
    assert list(folder.iterdir()) == []


def test_names_without_an_ending_that_is_known_are_markdown() -> None:
    assert {format_of(name) for name in ("report", "a.md", "a.txt", "b.v2")} == {"markdown"}
