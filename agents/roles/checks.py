"""What code can check about a draft, whichever body wrote it: citations, quotes, statements, figures and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Check, Draft, Evidence, Quote, Review
from signoff.agents.citations import (
    Cited,
    cited_ids,
    escape,
    find_blockquotes,
    flatten,
    reads_alike,
    same_text,
    unescape,
    without_citations,
    without_sources,
)
from signoff.agents.claims import disagree, disagreements, language_of, unsupported
from signoff.agents.extractive.sentences import is_terminated, split
from signoff.agents.figures import figures_section, find_changed
from signoff.tools.analysis import Tables
from signoff.tools.errors import UnknownSource
from signoff.tools.search import Library

NOT_BORNE_OUT: Final = "is not borne out by"
_INLINE = re.compile(r"[“\"]([^“”\"]{20,}?)[”\"]")
_PROMISES: Final = {
    "sources": "Every quote stands in the stored text of its document.",
    "citations": "Every citation is a quote of the evidence.",
    "quotations": "Every quotation in the report is word for word its quote.",
    "coverage": "What nothing quoted was judged to answer is said to be so.",
    "gaps": "Every gap the analysis found is named.",
    "support": "Every statement cites quotes.",
    "claims": "Every sentence says what its quotes say: figures, names, denials, must or may, who does what.",
    "disagreements": "What the cited quotes say otherwise of the same thing is said.",
    "figures": "Every figure and chart is what the tables gave, and no other picture is shown.",
}


class _Fault(NamedTuple):
    """Something wrong, and what must change."""

    note: str
    about: str = "Draft"


def inspect(task: Task, sources: Library | None, tables: Tables | None = None) -> Review:
    """Check the draft's citations, quotes and coverage; reject with notes that say what to change."""
    evidence, analysis, whole_draft = task.need(Evidence), task.need(Analysis), task.need(Draft)
    figures = figures_section(analysis)
    # What code computed rests on no quote; it is checked by itself.
    markdown = whole_draft.markdown.replace(figures, "", 1).replace(struck_section(whole_draft.struck), "", 1)
    draft = whole_draft.model_copy(update={"markdown": markdown})
    body = without_sources(draft.markdown)
    statements = find_statements(body)
    blocks = list(find_blockquotes(body))
    looked: dict[str, Iterable[_Fault]] = {
        "sources": _sources(evidence, draft, sources),
        "citations": _citations(draft, evidence, body, bool(analysis.computations)),
        "quotations": _quotations(blocks, statements, evidence, draft.method == "extracted"),
        "coverage": () if analysis.computations else _coverage(evidence, statements),
        "disagreements": _disagreements(evidence, body, statements, task.goal),
    }
    if draft.method == "extracted":
        looked["gaps"] = _gaps(analysis, body)
    else:
        compared = find_unproven(body, evidence, task.goal)
        looked |= {
            "support": _support(statements, evidence),
            "claims": (_Fault(f"{sentence}; correct it or take it out.") for sentence in compared.values()),
        }
    if figures or any(find_images(whole_draft.markdown)):
        looked["figures"] = _figures(analysis, whole_draft, figures, tables)
    checks: list[Check] = []
    faults: list[_Fault] = []
    for name, found in looked.items():
        here = list(dict.fromkeys(found))
        unread = _not_compared(body) if name == "claims" else ""
        detail = " ".join([*(fault.note for fault in here), unread]).strip() or _PROMISES[name]
        checks.append(Check(name=name, passed=not here and not unread, detail=detail))
        faults += here
        task.say(f"checked {name}: {'fine' if not here else f'{len(here)} to mend'}")
    about = next((fault.about for fault in faults if fault.about != "Draft"), "Draft")
    notes = tuple(fault.note for fault in faults if fault.about == about)
    return Review(accepted=not faults, about=about, notes=notes, checks=tuple(checks))


def _sources(evidence: Evidence, draft: Draft, sources: Library | None) -> Iterator[_Fault]:
    if sources is None:
        return
    cited = set(cited_ids(draft.markdown))
    changed: dict[str, list[Quote]] = {}
    for quote in (quote for quote in evidence.quotes if quote.id in cited):
        try:
            text = sources.text(quote.source)
        except UnknownSource:
            note = f"{quote.source!r}, quoted in [{quote.id}], is no longer among the documents; search again."
            yield _Fault(note, "Evidence")
            continue
        if quote.start < 0 or not text.startswith(quote.text, quote.start):
            changed.setdefault(quote.source, []).append(quote)
    for source, quotes in changed.items():
        yield _Fault(
            f"{source!r} no longer reads as quoted in {_marks(quotes)}; it has changed, so search it again.", "Evidence"
        )


def _figures(analysis: Analysis, draft: Draft, section: str, tables: Tables | None) -> Iterator[_Fault]:
    if section and section not in draft.markdown:
        yield _Fault("The report leaves out or changes what was computed from the tables; show it as it was computed.")
    known = {picture.name for picture in analysis.pictures}
    for image in find_images(draft.markdown):
        if image not in known:
            yield _Fault(f"“{_shortened(image)}” is no chart of the analysis; take it out.")
    for title in find_changed(analysis.computations, tables) if tables is not None else ():
        yield _Fault(f"The tables no longer give “{_shortened(title)}”; compute it again.", "Analysis")


def _citations(draft: Draft, evidence: Evidence, body: str, computed: bool) -> Iterator[_Fault]:
    known = {quote.id for quote in evidence.quotes}
    cited = cited_ids(draft.markdown)
    for id in dict.fromkeys(cited):
        if id not in known:
            yield _Fault(f"[{id}] is no quote of the evidence; cite one that is, or take the statement out.")
    if known and not cited_ids(body) and not computed:
        yield _Fault("The report cites nothing although there is evidence; cite the quotes it rests on.")


def _quotations(
    blocks: Iterable[Cited], statements: Iterable[Statement], evidence: Evidence, extracted: bool
) -> Iterator[_Fault]:
    quotes = {quote.id: quote for quote in evidence.quotes}
    for block in blocks:
        shown = _shortened(block.text)
        if block.id is None:
            yield _Fault(f"The quotation “{shown}” has no citation; add the number of its quote.")
        elif block.id in quotes and not _is_from(block.text, quotes[block.id].text):
            yield _Fault(f"The quotation “{shown}” is not word for word quote [{block.id}]; copy it exactly.")
    for statement in statements:
        cited = [quotes[id] for id in statement.citations if id in quotes]
        # What a report that was extracted puts in bold, or in a table's cell, is said to be a quote's own words.
        for said in statement.text.split("|") if extracted and cited and statement.text[:1] in "*|" else ():
            if not any(reads_alike(said.strip(" *"), quote.text) for quote in cited):
                yield _Fault(f"“{_shortened(said.strip(' *'))}” does not stand in {_marks(cited)}; copy it exactly.")
        for quoted in _INLINE.findall(statement.text) if cited else ():
            if len(quoted.split()) > 3 and not any(reads_alike(quoted.rstrip(".,;"), quote.text) for quote in cited):
                yield _Fault(
                    f"The words “{_shortened(quoted)}” do not stand in {_marks(cited)}; quote exactly or paraphrase."
                )


def _is_from(shown: str, quote: str) -> bool:
    """True if this is the quote, or whole words of it."""
    shown = shown.strip().strip('“”"').strip()
    return same_text(shown, flatten(quote)) or reads_alike(shown, flatten(quote))


def _coverage(evidence: Evidence, statements: Iterable[Statement]) -> Iterator[_Fault]:
    if any(map(admits, statements)):
        return
    if not evidence.quotes:
        yield _Fault("There is no evidence; say plainly that nothing was found.")
    elif not evidence.sure:
        yield _Fault("Nothing was judged to answer the question; say plainly that what is quoted only comes nearest.")


def _gaps(analysis: Analysis, body: str) -> Iterator[_Fault]:
    shown = flatten(unescape(body))
    for gap in analysis.gaps:
        if flatten(gap) not in shown:
            yield _Fault(f"The report leaves out a gap: {gap}")


def _disagreements(evidence: Evidence, body: str, statements: Sequence[Statement], goal: str) -> Iterator[_Fault]:
    cited = set(cited_ids(body))
    for pair in disagreements(evidence.quotes, goal):
        both = {pair.first, pair.second}
        if both <= cited and not any(both <= set(statement.citations) for statement in statements):
            yield _Fault(f"{disagree(*sorted(both))}, and no statement cites both and says so: {pair.why}.")


def _support(statements: Sequence[Statement], evidence: Evidence) -> Iterator[_Fault]:
    known = {quote.id for quote in evidence.quotes}
    for statement in statements:
        if statement.claims and not admits(statement) and not known.intersection(statement.citations):
            yield _Fault(f"“{_shortened(statement.text)}” cites nothing; cite the quotes it rests on, or take it out.")


def find_unproven(body: str, evidence: Evidence, goal: str) -> dict[str, str]:
    """The sentences of a report that the quotes they cite do not bear out, each with what differs."""
    quotes = {quote.id: quote for quote in evidence.quotes}
    found: dict[str, str] = {}
    for text, ids in (sentence for statement in find_statements(body) for sentence in statement.sentences):
        cited = [quotes[id] for id in dict.fromkeys(ids) if id in quotes]
        if cited and (differing := unsupported(text, cited, goal)):
            found[text] = f"“{text}” {NOT_BORNE_OUT} {_marks(cited)}: {'; '.join(differing)}"
    return found


def _not_compared(body: str) -> str:
    """What is said of sentences in a language that is not read; empty if there are none."""
    texts = [text for statement in find_statements(body) for text, ids in statement.sentences if ids]
    unread = [text for text in texts if language_of(text) == "others"]
    shown = f"{len(unread)} of {len(texts)} sentences were not compared with their quotes, but for figures and names"
    return f"{shown}: only English and German are read. Compare “{_shortened(unread[0])}” yourself." if unread else ""


def struck_section(struck: Sequence[str]) -> str:
    """The part of a report that lists what was struck from it; empty if nothing was."""
    lines = "\n".join(f"- {escape(flatten(line))}" for line in struck)
    return f"## Struck: not borne out by the sources\n\n{lines}" if struck else ""


def _marks(quotes: Iterable[Quote]) -> str:
    return " ".join(f"[{quote.id}]" for quote in quotes)


def _shortened(text: str) -> str:
    flat = flatten(text)
    return flat if len(flat) <= 80 else flat[:79].rsplit(" ", 1)[0] + "…"


_MARKER = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$|^[\s|:-]+$")
_ADMITTING_HEADING = re.compile(
    r"\b(?:do(?:es)? not|did not|gaps?|limitations?|missing|unanswered|not (?:covered|found|said)|open questions?|"
    r"unknown)\b",
    re.IGNORECASE,
)
_ADMISSION = re.compile(
    r"\b(?:nothing|none|no (?:\w+ )?(?:documents?|passages?|sources?|quotes?|evidence|answer|information|mention)|"
    r"(?:documents?|sources?|evidence|quotes?|passages?|it) (?:do|does|did) not|not where they speak|"
    r"(?:is|are|was|were) not (?:stated|found|covered|mentioned|addressed|said|given|specified|documented))\b",
    re.IGNORECASE,
)
_ABOUT_ITSELF = re.compile(
    r"^(?:this (?:report|summary|document|answer)|extracted|generated|written|\d[\d,]* documents?)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """A paragraph or list item of a report, quotations left out."""

    text: str
    """Plain, without its citations."""
    citations: tuple[int, ...]
    heading: str
    raw: str
    """With its citations, as Markdown."""

    @property
    def sentences(self) -> Iterator[tuple[str, Sequence[int]]]:
        """Each as plain text, with what it cites; one that cites nothing rests on what comes next, or stands before.

        What says that something is not known, and cites nothing, rests on nothing.
        """
        parts = [(part.text, cited_ids(part.text)) for part in split(self.raw)]
        for place, (text, own) in enumerate(parts):
            plain = flatten(unescape(without_citations(text))).replace(" .", ".")
            if own or not (_ADMITTING_HEADING.search(self.heading) or _ADMISSION.search(plain)):
                yield plain, own or next((ids for _, ids in parts[place + 1 :] if ids), self.citations)

    @property
    def claims(self) -> bool:
        """True if it says something that must rest on a source."""
        text = self.text.strip("*_ ")
        length = len(text.split())
        says_something = length > 4 or (length > 2 and is_terminated(text))
        return says_something and not text.endswith((":", "?")) and not _ABOUT_ITSELF.match(text)


def find_statements(markdown: str) -> list[Statement]:
    """The paragraphs and list items of a report; headings, quotations, code and rules are none."""
    found: list[Statement] = []
    lines: list[str] = []
    heading = ""
    fenced = False

    def close() -> None:
        if lines:
            raw = " ".join(lines)
            text = flatten(unescape(without_citations(raw)))
            found.append(Statement(text, tuple(cited_ids(raw)), heading, raw))
            lines.clear()

    for line in [*markdown.split("\n"), ""]:
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        titled = _HEADING.match(line)
        if fenced or titled or not line.strip() or line.lstrip().startswith(">") or _RULE.match(line):
            close()
            heading = titled[1] if titled and not fenced else heading
            continue
        if _MARKER.match(line):
            close()
        lines.append(_MARKER.sub("", line).strip())
    return found


def admits(statement: Statement) -> bool:
    """True if it says what is not known, not what is."""
    return bool(_ADMITTING_HEADING.search(statement.heading) or _ADMISSION.search(statement.text))


_TAG: Final = re.compile(r"<\s*(?:img|svg|picture|source|object|embed|iframe|video|audio|link|style|script)\b", re.I)


def find_images(markdown: str) -> Iterator[str]:
    """The address of every picture, and every HTML tag that shows or fetches something."""
    from markdown_it import MarkdownIt

    for block in MarkdownIt("commonmark").enable("table").parse(markdown):
        for token in (block, *(block.children or ())):
            if token.type == "image":
                yield str(token.attrs["src"])
            elif token.type in ("html_block", "html_inline"):
                yield from (found[0] for found in _TAG.finditer(token.content))
