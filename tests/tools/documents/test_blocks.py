from __future__ import annotations

from hypothesis import given, strategies as st

from signoff.tools.documents.blocks import LONGEST, LONGEST_LIST, USUAL, Block, compose

KINDS = st.sampled_from(["heading", "prose", "list", "table", "code"])
BLOCKS = st.lists(st.builds(Block, KINDS, st.text(max_size=3000), st.integers(1, 4)), max_size=12)


def shown(*blocks: Block, title: str = "") -> list[tuple[str, str, str]]:
    document = compose(title, blocks)
    return [(span.kind, span.heading, document.text[span.start : span.end]) for span in document.spans]


@given(BLOCKS)
def test_every_passage_is_a_clean_piece_of_the_text_and_none_is_too_long(blocks: list[Block]) -> None:
    document = compose("", blocks)
    document.text.encode("utf-8")
    assert "\0" not in document.text
    end = 0
    for span in document.spans:
        text = document.text[span.start : span.end]
        assert span.start >= end
        assert 0 < len(text) <= LONGEST_LIST
        assert text.strip()
        assert text == text.rstrip()
        end = span.end


@given(BLOCKS)
def test_no_word_outside_of_headings_is_lost(blocks: list[Block]) -> None:
    document = compose("", blocks)
    kept = "".join("".join(document.text[span.start : span.end].split()) for span in document.spans)
    bodies = [block for block in blocks if block.kind != "heading"]
    whole = "".join("".join(compose("", bodies).text.split()))
    if whole:
        assert kept == whole


def test_paragraphs_of_one_section_are_merged_and_sections_are_not() -> None:
    assert shown(
        Block("prose", "One."), Block("prose", "Two."), Block("heading", "Next", 1), Block("prose", "Three.")
    ) == [("prose", "", "One.\n\nTwo."), ("prose", "Next", "Three.")]


def test_headings_above_a_passage_are_its_path_without_the_title() -> None:
    blocks = [
        Block("heading", "Guide", 1),
        Block("heading", "Install", 2),
        Block("heading", "Linux", 3),
        Block("prose", "Use apt."),
        Block("heading", "Use", 2),
        Block("prose", "Run it."),
    ]
    document = compose("", blocks)
    assert document.title == "Guide"
    assert [span.heading for span in document.spans] == ["Install › Linux", "Use"]


def test_tables_are_passages_of_their_own_and_short_code_goes_with_what_is_said_of_it() -> None:
    assert shown(Block("table", "a: 1"), Block("table", "b: 2")) == [("table", "", "a: 1"), ("table", "", "b: 2")]
    assert shown(Block("prose", "A."), Block("table", "a: 1"), Block("prose", "B.")) == [
        *(("prose", "", "A."), ("table", "", "a: 1"), ("prose", "", "B."))
    ]
    assert shown(Block("prose", "Add one:"), Block("code", "x += 1")) == [("prose", "", "Add one:\n\nx += 1")]


def test_a_section_is_cut_between_paragraphs_and_what_is_short_joins_a_neighbour() -> None:
    paragraphs = [f"{number} " + "word " * 60 for number in range(4)]
    assert [len(text) for _, _, text in shown(*(Block("prose", text) for text in paragraphs))] == [301] * 4
    halves = [f"{number} " + "word " * 45 for number in range(4)]
    assert [text.count("\n\n") for _, _, text in shown(*(Block("prose", text) for text in halves))] == [1, 1]
    (passage,) = shown(Block("prose", "word " * 95), Block("prose", "And this."))
    assert passage[2].endswith("word\n\nAnd this.")
    assert len(passage[2]) < USUAL


def test_a_list_is_whole_and_stays_with_the_sentence_that_introduces_it() -> None:
    filler = "This fills the passage. " * 18
    items = "\n".join(f"- item {number} with some words in it, and some more of them" for number in range(25))
    passages = shown(Block("prose", filler), Block("prose", "It does these:"), Block("list", items))
    assert LONGEST < len(items) < LONGEST_LIST
    assert passages[1][2] == f"It does these:\n\n{items}"


def test_numbered_paragraphs_are_no_list_that_must_be_whole() -> None:
    rules = "\n".join(f"{number}. " + "This is what the rule says of it. " * 9 for number in range(1, 7))
    passages = shown(Block("list", rules))
    assert [text[:2] for _, _, text in passages] == [f"{number}." for number in range(1, 7)]


def test_a_long_paragraph_is_split_between_sentences() -> None:
    sentence = "Here is a sentence of a fair length that says one thing."
    passages = shown(Block("prose", " ".join([sentence] * 80)))
    assert len(passages) > 3
    assert all(text.startswith("Here is") and text.endswith("one thing.") for _, _, text in passages)


def test_a_sentence_too_long_for_a_passage_is_split_between_words() -> None:
    passages = shown(Block("prose", "word " * 1000))
    assert all(set(text.split()) == {"word"} for _, _, text in passages)


def test_a_long_list_is_split_between_items_and_a_long_table_between_rows() -> None:
    lines = "\n".join(f"- the item with number {number} says this. And more." for number in range(100))
    for block in (Block("list", lines), Block("table", lines)):
        passages = shown(block)
        assert len(passages) > 2
        assert all(line.startswith("- the item") for _, _, text in passages for line in text.splitlines())


def test_long_code_is_split_at_blank_lines_and_keeps_its_margin() -> None:
    function = "    def run(self):\n" + "        step()\n" * 30
    passages = shown(Block("code", "\n".join([function] * 6)))
    assert len(passages) > 1
    assert all(text.startswith("    def run") for _, _, text in passages)


def test_a_document_of_headings_only_can_be_found_by_them() -> None:
    assert shown(Block("heading", "Agenda", 1), Block("heading", "Budget", 2))[0][2] == "Agenda\n\nBudget"


def test_what_no_one_can_print_is_left_out() -> None:
    assert compose("", [Block("prose", "a\0b\ud800c\u200bd\x07e\ufeff")]).text == "abcde"
