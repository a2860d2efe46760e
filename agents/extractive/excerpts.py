"""Excerpts of documents: whole sentences cut from a document so that they can be read alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from signoff.agents.extractive import text as words
from signoff.agents.extractive.patterns import pattern
from signoff.agents.extractive.sentences import Sentence

LONGEST = 700
"""Characters an excerpt may have."""
_COMFORTABLE = 450
"""Characters up to which an excerpt is made longer for the reader's sake."""
_MOST_SENTENCES = 3
_LONGEST_LIST = 8

_FIELDS = re.compile(r"(?:(?:^|\s)[A-Z][A-Za-z]*(?:-[A-Za-z]+)*: \S.{0,80}?){4,}")
_LABELLED = re.compile(r"(?:Owner|Lead|Author|Contact|Responsible): .{2,60}")
_TAKEN_UP = re.compile(r"The (\w{4,})\b")
_CODE = re.compile(
    r">>>|^\s*(?:(?:async |await )?(?:def|class|import|from|return|if|for|while|with)\b|#include|\$|sudo|pip|git) "
    r"\S+.*[:;({=]\s*$|[{};]\s*$|==|=>|\s[-+*/|&]= |\S  # |^\s*(?:try|else|finally):$|^\s{4,}\S.*[()=:]$|"
    r"\w\(\w*\)\.\w+\(",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Excerpt:
    """Some whole sentences that follow one another."""

    start: int
    """Offset in the text the sentences were split from."""
    text: str

    @property
    def end(self) -> int:
        """Offset behind its last character."""
        return self.start + len(self.text)


def rows(text: str) -> list[Sentence]:
    """The rows of a table or the lines of a record, each standing where a sentence would."""
    found: list[Sentence] = []
    at = 0
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            indent = len(line) - len(line.lstrip())
            found.append(Sentence(at + indent, line.strip(), number, True))
        at += len(line) + 1
    return found


def is_noise(text: str) -> bool:
    """True for what nobody would quote: page furniture, licences, header fields, code, remnants."""
    letters = sum(character.isalpha() for character in text)
    solid = sum(not character.isspace() for character in text)
    if solid < 12 or letters < 0.6 * solid or len(text) > LONGEST:
        return True
    if text.isascii() and len(text.split()) < 5:
        return True
    return bool(_FIELDS.search(text) or pattern("proclamation").search(text) or _CODE.search(text))


def is_pointer(text: str) -> bool:
    """True for a sentence that sends the reader elsewhere, speaks of its own document, or asks instead of telling."""
    return bool(pattern("pointer").match(text) or pattern("meta").search(text)) or text.rstrip("\"'”’)").endswith(
        ("?", "？", "؟")
    )


def is_about_itself(text: str) -> bool:
    """True for a sentence that says what its document is, and little about the subject."""
    return bool(pattern("about_itself").match(text))


def cut(text: str, sentences: Sequence[Sentence], seed: int) -> Excerpt | None:
    """The seed sentence with what it needs to be understood; None if it cannot stand in a report."""
    if sentences[seed].item and (listed := _introduced(text, sentences, seed)):
        return listed
    last = seed
    first = _beginning(sentences, seed)
    if first is None:
        return None
    if sentences[last].introduces:
        end = _list_end(sentences, last)
        return None if end is None else _excerpt(text, sentences, first, end)
    if any(sentence.introduces for sentence in sentences[first:last]):
        return None
    while _wants_more(sentences, first, last):
        last += 1
    return _excerpt(text, sentences, first, last) if _closes(sentences, last) else None


def _beginning(sentences: Sequence[Sentence], seed: int) -> int | None:
    """Place of the sentence to begin with so that nothing points back at what is left out; None if there is none."""
    first = seed
    while sentences[first].is_dangling or not _stands(sentences, first):
        if first == 0 or seed - first + 1 >= _MOST_SENTENCES or not _follows(sentences[first - 1], sentences[first]):
            return None
        first -= 1
    if sentences[first].leans and first > 0 and seed - first + 1 < _MOST_SENTENCES:
        before = sentences[first - 1]
        is_fit = _follows(before, sentences[first]) and not before.is_dangling and _stands(sentences, first - 1)
        if is_fit and not is_noise(before.text) and sentences[seed].end - before.start <= _COMFORTABLE:
            return first - 1
    return _with_opening(sentences, first, seed)


def _with_opening(sentences: Sequence[Sentence], first: int, seed: int) -> int:
    """The place before, if a short sentence opens the paragraph there: 'The certificate had expired.'"""
    if first == 0 or seed != first or (first > 1 and sentences[first - 2].block == sentences[first].block):
        return first
    before, length = sentences[first - 1], sentences[seed].end - sentences[first - 1].start
    is_fit = _follows(before, sentences[first]) and not (before.is_dangling or before.introduces or before.item)
    is_short = len(before.text) < 90 and length <= _COMFORTABLE and _stands(sentences, first - 1)
    return first - 1 if is_fit and is_short and not (is_noise(before.text) or is_pointer(before.text)) else first


def _introduced(text: str, sentences: Sequence[Sentence], seed: int) -> Excerpt | None:
    """The whole list an item stands in, with the sentence that introduces it, if that is short enough."""
    intro = seed
    while intro >= 0 and sentences[intro].item:
        intro -= 1
    if intro < 0 or not sentences[intro].introduces or sentences[intro].is_dangling or not _stands(sentences, intro):
        return None
    end = _list_end(sentences, intro)
    return _excerpt(text, sentences, intro, end) if end is not None and end >= seed else None


def _excerpt(text: str, sentences: Sequence[Sentence], first: int, last: int) -> Excerpt | None:
    start, end = sentences[first].start, sentences[last].end
    return Excerpt(start, text[start:end]) if end - start <= LONGEST else None


def _stands(sentences: Sequence[Sentence], place: int) -> bool:
    return sentences[place].is_begun


def _closes(sentences: Sequence[Sentence], place: int) -> bool:
    """True if this sentence ends as one does, or is all of its paragraph or item where nothing ends as it should."""
    sentence = sentences[place]
    if sentence.is_whole:
        return True
    if any(other.is_whole for other in sentences):
        return False
    alone = (place == 0 or sentences[place - 1].block != sentence.block) and (
        place + 1 == len(sentences) or sentences[place + 1].block != sentence.block
    )
    return alone and len(sentence.text) >= 40 and not sentence.text.endswith((",", ";", ":", "-", "–", "and", "or"))


def _follows(before: Sentence, after: Sentence) -> bool:
    """True if the two stand in one paragraph and the first is a sentence."""
    return before.block == after.block and before.is_whole


def _wants_more(sentences: Sequence[Sentence], first: int, last: int) -> bool:
    """True if the excerpt is short and the next sentence carries it on."""
    following = last + 1
    if following >= len(sentences) or last - first + 2 > _MOST_SENTENCES:
        return False
    nearby = sentences[following]
    if nearby.block != sentences[last].block or not nearby.is_whole:
        return False
    if _LABELLED.fullmatch(nearby.text):
        return True
    if is_noise(nearby.text) or is_pointer(nearby.text):
        return False
    length = sentences[last].end - sentences[first].start
    if length < 90:
        return True
    carries_on = nearby.is_dangling or _takes_up(sentences[last].text, nearby.text)
    return length + len(nearby.text) < _COMFORTABLE and carries_on


def _takes_up(before: str, after: str) -> bool:
    """True if the second begins with 'The' and a word whose family the first has: 'claiming', then 'The claim'."""
    found = _TAKEN_UP.match(after)
    return found is not None and words.root(found[1].lower()) in {words.root(word) for word in words.content(before)}


def _list_end(sentences: Sequence[Sentence], intro: int) -> int | None:
    """Place of the last sentence of the short list that this one introduces; None if it introduces no such list."""
    blocks: set[int] = set()
    end = None
    for place in range(intro + 1, len(sentences)):
        if not sentences[place].item:
            break
        blocks.add(sentences[place].block)
        end = place
    return end if 1 < len(blocks) <= _LONGEST_LIST else None
