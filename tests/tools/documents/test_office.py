"""PDF and Word documents, made in the test."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import pytest
from docx.document import Document as WordDocument

from signoff.errors import Unreadable
from signoff.tools.documents import docx as word_reader
from signoff.tools.documents.blocks import Document
from signoff.tools.documents.reader import read_document

Pdf = Callable[..., bytes]
Word = Callable[[Callable[[WordDocument], None]], bytes]


def passages(document: Document) -> list[tuple[str, str, str]]:
    return [(span.kind, span.heading, document.text[span.start : span.end]) for span in document.spans]


SIDES = ("", "north", "south", "east", "west")


def page(number: int) -> list[tuple[float, float, str]]:
    return [
        (800, 9, "ACME Annual Report"),
        (760, 18, f"{number}. Chapter of it"),
        (730, 10, "The first paragraph of this chapter is about the exam-"),
        (718, 10, "ple that everybody knows, and it goes on for two more"),
        (706, 10, "lines until it ends."),
        (682, 10, "The second paragraph follows after a gap and also has"),
        (670, 10, "well-"),
        (658, 10, "known words in it, as well-known words are."),
        (634, 10, "• one point"),
        (622, 10, f"• the {SIDES[number]} side"),
        (20, 9, f"Page {number} of 4"),
    ]


def test_a_pdf_gets_its_paragraphs_and_headings_back_without_running_lines(pdf: Pdf) -> None:
    document = read_document("a.pdf", pdf([page(number) for number in range(1, 5)], title="Annual Report 2024"))
    assert "ACME" not in document.text
    assert "Page 2" not in document.text
    expected = (
        "The first paragraph of this chapter is about the example that everybody knows, "
        "and it goes on for two more lines until it ends.\n\n"
        "The second paragraph follows after a gap and also has well-known words in it, as well-known words are.\n\n"
        "- one point\n- the {} side"
    )
    assert document.title == "1. Chapter of it"
    assert passages(document) == [
        ("prose", f"{number}. Chapter of it" if number > 1 else "", expected.format(SIDES[number]))
        for number in range(1, 5)
    ]


def test_a_pdf_without_large_letters_takes_its_title_from_its_properties(pdf: Pdf) -> None:
    lines = [(700.0, 10.0, "Only a sentence.")]
    assert read_document("a.pdf", pdf([lines], title="Annual Report")).title == "Annual Report"
    assert read_document("a.pdf", pdf([lines], title="draft7.docx")).title == "a.pdf"


def test_a_locked_pdf_says_that_it_is_locked(pdf: Pdf) -> None:
    lines = [(700.0, 10.0, "A secret.")]
    with pytest.raises(Unreadable, match="a locked PDF"):
        read_document("a.pdf", pdf([lines], password="open sesame"))
    assert read_document("a.pdf", pdf([lines], password="")).text == "A secret."


def test_a_scanned_pdf_says_that_it_has_no_text(pdf: Pdf) -> None:
    with pytest.raises(Unreadable, match="a PDF without text"):
        read_document("a.pdf", pdf([[]]))


def test_the_faults_of_a_damaged_pdf_are_not_logged(pdf: Pdf, caplog: pytest.LogCaptureFixture) -> None:
    whole = pdf([[(700, 10, "A sentence.")]])
    assert read_document("a.pdf", re.sub(rb"startxref\s+\d+", b"startxref\n7", whole)).text == "A sentence."
    assert caplog.records == []


def fill(document: WordDocument) -> None:
    document.core_properties.title = "A stale title"
    document.add_heading("Project plan", 0)
    document.add_heading("Goals", 1)
    paragraph = document.add_paragraph("We want to ")
    paragraph.add_run("ship").bold = True
    paragraph.add_run(" by June.")
    document.add_paragraph("First", style="List Bullet")
    document.add_paragraph("Second", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for at, text in enumerate(["Owner", "Task", "Ann", "Design"]):
        table.cell(at // 2, at % 2).text = text
    document.add_heading("Risks", 2)
    document.add_paragraph("Delay is likely.")


def test_a_word_document_gives_headings_lists_and_tables(word: Word) -> None:
    document = read_document("a.docx", word(fill))
    assert document.title == "Project plan"
    assert passages(document) == [
        ("prose", "Goals", "We want to ship by June.\n\n- First\n- Second"),
        ("table", "Goals", "Owner: Ann; Task: Design"),
        ("prose", "Goals › Risks", "Delay is likely."),
    ]


def test_a_word_document_reads_as_with_its_changes_accepted(
    word: Word, rewritten: Callable[[bytes, str, str, str], bytes]
) -> None:
    def write(document: WordDocument) -> None:
        document.add_paragraph("It is MARK good.")

    changed = (
        '<w:t xml:space="preserve">It is </w:t></w:r><w:del><w:r><w:delText>not </w:delText></w:r></w:del>'
        '<w:ins><w:r><w:t xml:space="preserve">very</w:t></w:r></w:ins><w:r><w:t xml:space="preserve"> good.</w:t>'
    )
    raw = rewritten(word(write), "word/document.xml", "<w:t>It is MARK good.</w:t>", changed)
    assert read_document("a.docx", raw).text == "It is very good."


def test_a_word_document_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_reader, "LARGEST", 1_000_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 2_000_000)
    with pytest.raises(Unreadable, match="2 MB once unpacked is more than the limit of 1 MB"):
        read_document("a.docx", out.getvalue())
