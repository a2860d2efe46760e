"""Inspection: what code can check about a draft, whichever body wrote it, and about the evidence below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from signoff.agents import words
from signoff.agents.agent import Task
from signoff.agents.analysis import addresses
from signoff.agents.artifacts import Analysis, Check, Draft, Evidence, Quote, Review
from signoff.agents.location import Plain, even_out, reads_alike
from signoff.agents.question import whole
from signoff.agents.quoting import CITATION, find_blockquotes, flatten, same_text, unescape
from signoff.agents.relevance import bag
from signoff.agents.sentences import begins_well, is_terminated, split
from signoff.errors import UnknownSource
from signoff.tools.sources import Sources

_SOURCES_LIST = re.compile(r"^#{1,6}\s*(?:sources|references|citations|bibliography)\s*$", re.IGNORECASE | re.MULTILINE)
_INLINE = re.compile(r"[“\"]([^“”\"]{20,}?)[”\"]")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w]*\])")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)\b(?:[A-Z][\w’'-]+(?: [A-Z][\w’'-]+)*)")
_NO_CLAIM = re.compile(
    r"^(?:no |none |nothing |neither |the (?:documents?|sources?|evidence|quotes?|passages?) (?:do(?:es)? not|did not|say nothing|"
    r"give no|contain no|offer no)|not (?:stated|found|covered|mentioned)|this report|this summary|\d+ documents? w|extracted )|"
    r"\b(?:do(?:es)? not (?:say|mention|state|cover|address)|is not (?:stated|mentioned|covered|addressed)|no (?:document|passage|source|quote)s? "
    r"(?:says?|mentions?|states?|uses?|speaks?|names?|gives?|covers?|address))",
    re.IGNORECASE,
)
_ROOT_OF_LINE = re.compile(r"^(?:>\s?)*\s*(?:[-*+•]|\d{1,3}[.)])?\s*")


@dataclass(frozen=True)
class _Fault:
    """Something wrong, and what must change."""

    note: str
    about: str = "Draft"


def inspect(task: Task, sources: Sources | None) -> Review:
    """Check the draft's citations, quotes and coverage; reject with notes that say what to change."""
    evidence, analysis, draft = task.need(Evidence), task.need(Analysis), task.need(Draft)
    body, _ = _divide(draft.markdown)
    looked = [
        ("sources", "every quote stands in the stored text of its document", _sources(evidence, draft, sources)),
        ("citations", "every citation is a quote of the evidence", _citations(draft, evidence, body)),
        ("quotations", "every quotation in the report is word for word its quote", _quotations(body, evidence)),
        ("repetition", "no sentence stands in the report twice", _repetition(body)),
        ("coverage", "every word asked about is quoted on or named as a gap", _coverage(task.goal, evidence, analysis, body)),
    ]
    if draft.method == "extracted":
        looked.append(("wholeness", "no quote begins or ends within a sentence", _wholeness(evidence, sources, body)))
    else:
        looked.append(("support", "every statement cites quotes that hold its figures and names", _support(body, evidence, task.goal)))
    checks: list[Check] = []
    faults: list[_Fault] = []
    for name, promise, found in looked:
        here = list(dict.fromkeys(found))
        detail = f"{promise[0].upper()}{promise[1:]}." if not here else " ".join(fault.note for fault in here)
        checks.append(Check(name=name, passed=not here, detail=detail))
        faults += here
        task.say(f"checked {name}: {'fine' if not here else f'{len(here)} to mend'}")
    about = next((fault.about for fault in faults if fault.about != "Draft"), "Draft")
    notes = tuple(fault.note for fault in faults if fault.about == about)
    return Review(accepted=not faults, about=about, notes=notes, checks=tuple(checks))


def verify_quotes(evidence: Evidence, sources: Sources) -> tuple[Evidence, int]:
    """The evidence with each quote as its document has it, and the number that no document has, which are dropped."""
    texts: dict[str, Plain] = {}
    kept: list[Quote] = []
    for quote in evidence.quotes:
        found = _located(quote, sources, texts)
        if found and not any(other.source == found.source and other.text == found.text for other in kept):
            kept.append(found)
    numbered = tuple(quote.model_copy(update={"id": number}) for number, quote in enumerate(kept, 1))
    matched = len({quote.source for quote in numbered})
    updated = evidence.model_copy(update={"quotes": numbered, "matched": matched, "searched": sources.documents})
    return updated, len(evidence.quotes) - len(numbered)


def _located(quote: Quote, sources: Sources, texts: dict[str, Plain]) -> Quote | None:
    """The quote with the exact span of its document, or None if the document has no such span."""
    try:
        text = sources.text(quote.source)
    except UnknownSource:
        return None
    at = text.find(quote.text) if quote.text.strip() else -1
    if at >= 0:
        span = (at, at + len(quote.text))
    else:
        if quote.source not in texts:
            texts[quote.source] = even_out(text)
        near = texts[quote.source].find(quote.text)
        if near is None:
            return None
        span = near
    place = next((p for p in sources.passages_of(quote.source) if p.start <= span[0] < p.start + len(p.text)), None)
    named = {"title": place.title, "heading": place.heading} if place else {}
    return quote.model_copy(update={"text": text[slice(*span)], "start": span[0], **named})


def _divide(markdown: str) -> tuple[str, str]:
    """The report without its list of sources, and that list."""
    found = _SOURCES_LIST.search(markdown)
    return (markdown[: found.start()], markdown[found.start() :]) if found else (markdown, "")


def _cited(text: str) -> list[int]:
    return [int(id) for id in CITATION.findall(text)]


def _sources(evidence: Evidence, draft: Draft, sources: Sources | None) -> Iterator[_Fault]:
    if sources is None:
        return
    cited = set(_cited(draft.markdown))
    changed: dict[str, list[int]] = {}
    for quote in evidence.quotes:
        if quote.id not in cited:
            continue
        try:
            text = sources.text(quote.source)
        except UnknownSource:
            yield _Fault(f"{quote.source!r}, quoted in [{quote.id}], is no longer among the documents; search again.", "Evidence")
            continue
        if quote.start < 0 or text[quote.start : quote.start + len(quote.text)] != quote.text:
            changed.setdefault(quote.source, []).append(quote.id)
    for source, ids in changed.items():
        marks = " ".join(f"[{id}]" for id in ids)
        yield _Fault(f"{source!r} no longer reads as quoted in {marks}; it has changed, so search it again.", "Evidence")


def _citations(draft: Draft, evidence: Evidence, body: str) -> Iterator[_Fault]:
    known = {quote.id for quote in evidence.quotes}
    cited = _cited(draft.markdown)
    for id in dict.fromkeys(cited):
        if id not in known:
            yield _Fault(f"[{id}] is no quote of the evidence; cite one that is, or take the statement out.")
    if known and not _cited(body):
        yield _Fault("The report cites nothing although there is evidence; cite the quotes it rests on.")


def _quotations(body: str, evidence: Evidence) -> Iterator[_Fault]:
    quotes = {quote.id: quote for quote in evidence.quotes}
    for block in find_blockquotes(body):
        shown = _shortened(block.text)
        if block.id is None:
            yield _Fault(f"The quotation “{shown}” has no citation; add the number of its quote.")
        elif block.id in quotes and not _is_from(block.text, quotes[block.id].text):
            yield _Fault(f"The quotation “{shown}” is not word for word quote [{block.id}]; copy it exactly.")
    for paragraph in _paragraphs(body):
        ids = [id for id in _cited(paragraph) if id in quotes]
        for quoted in _INLINE.findall(unescape(CITATION.sub("", paragraph))) if ids else ():
            if len(quoted.split()) > 3 and not any(reads_alike(quoted.rstrip(".,;"), quotes[id].text) for id in ids):
                marks = " ".join(f"[{id}]" for id in ids)
                yield _Fault(f"The words “{_shortened(quoted)}” do not stand in {marks}; quote exactly or paraphrase.")


def _is_from(shown: str, quote: str) -> bool:
    """True if this is the quote, or whole words of it."""
    shown = shown.strip().strip("“”\"").strip()
    return same_text(shown, flatten(quote)) or reads_alike(shown, flatten(quote))


def _repetition(body: str) -> Iterator[_Fault]:
    said = Counter(
        flatten(sentence.text).casefold().strip("\"“”'.")
        for paragraph in _paragraphs(body, quotations=True)
        for sentence in split(unescape(CITATION.sub("", paragraph)))
        if len(sentence.text.split()) > 4
    )
    for sentence, times in said.items():
        if times > 1:
            yield _Fault(f"“{_shortened(sentence)}” stands in the report {times} times; keep one.")


def _coverage(goal: str, evidence: Evidence, analysis: Analysis, body: str) -> Iterator[_Fault]:
    cited = set(_cited(body))
    quotes = [quote for quote in evidence.quotes if quote.id in cited]
    admitted = bag(" ".join(analysis.gaps) + " " + " ".join(p for p in _paragraphs(body) if _NO_CLAIM.search(p)))
    for term in whole(goal).terms:
        if not term.weak and not admitted.holds(term) and not any(addresses(quote, term) for quote in quotes):
            yield _Fault(f"Nothing cited speaks of “{term.word}”; cite a quote that does, or say that none does.")
    left = [gap for gap in analysis.gaps if evidence.quotes and not bag(body).stems.issuperset(bag(gap).stems)]
    for gap in left:
        yield _Fault(f"The report leaves out this gap: {gap}")


def _wholeness(evidence: Evidence, sources: Sources | None, body: str) -> Iterator[_Fault]:
    cited = set(_cited(body))
    for quote in evidence.quotes:
        if quote.id not in cited or (begins_well(quote.text) and is_terminated(quote.text)):
            continue
        if not _fills_its_lines(quote, sources):
            yield _Fault(f"Quote [{quote.id}] is cut through: “{_shortened(quote.text)}”; take whole sentences.", "Evidence")


def _fills_its_lines(quote: Quote, sources: Sources | None) -> bool:
    """True if a quote that is no sentence is at least whole lines: a list, a row of a table."""
    if sources is None:
        return True
    try:
        text = sources.text(quote.source)
    except UnknownSource:
        return True
    before = text[max(0, quote.start - 12) : quote.start].rpartition("\n")[2]
    after = text[quote.start + len(quote.text) :][:1]
    return after in ("", "\n") and (quote.start < 12 or not re.search(r"[^\W\d_]{2}", before) or is_terminated(before.rstrip()))


def _support(body: str, evidence: Evidence, goal: str) -> Iterator[_Fault]:
    quotes = {quote.id: quote for quote in evidence.quotes}
    everything = bag(" ".join([goal, *(f"{q.text} {q.title} {q.heading} {q.source}" for q in evidence.quotes)]))
    for paragraph in _paragraphs(body):
        text = unescape(CITATION.sub("", paragraph)).strip()
        if len(text.split()) < 5 or text.endswith((":", "?")) or _NO_CLAIM.search(text):
            continue
        ids = [id for id in _cited(paragraph) if id in quotes]
        if not ids:
            yield _Fault(f"“{_shortened(text)}” cites nothing; cite the quotes it rests on, or take it out.")
            continue
        held = " ".join(f"{quotes[id].text} {quotes[id].title} {quotes[id].heading}" for id in ids) + " " + goal
        marks = " ".join(f"[{id}]" for id in ids)
        for number in _missing_numbers(text, held):
            yield _Fault(f"The figure {number} in “{_shortened(text)}” does not stand in {marks}; correct it or cite its source.")
        for name in _unknown_names(text, everything):
            yield _Fault(f"“{name}” in “{_shortened(text)}” stands nowhere in the evidence; take it out.")


def _missing_numbers(text: str, held: str) -> list[str]:
    known = {number.replace(",", "") for number in _NUMBER.findall(held)}
    return [number for number in dict.fromkeys(_NUMBER.findall(text)) if number.replace(",", "") not in known]


def _unknown_names(text: str, everything: words.__class__) -> Iterable[str]:
    raise NotImplementedError


def _paragraphs(body: str, *, quotations: bool = False) -> list[str]:
    raise NotImplementedError


def _shortened(text: str) -> str:
    flat = flatten(text)
    return flat if len(flat) <= 80 else flat[:79].rsplit(" ", 1)[0] + "…"
