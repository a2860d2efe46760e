"""Composition: a report in Markdown that quotes and adds nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from signoff.agents import words
from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Draft, Evidence, Quote
from signoff.agents.grouping import name
from signoff.agents.question import whole
from signoff.agents.quoting import CITATION, blockquote, escape, flatten
from signoff.agents.relevance import bag

_LONGEST_TITLE = 120
_SHORTER = re.compile(r"\b(?:short(?:er|en)?|too long|brief(?:er)?|concise|trim|less|fewer|cut)\b", re.IGNORECASE)
_FORWARD = re.compile(r"\b(?:first|top|start|begin|lead|move|up|more of|keep)\b", re.IGNORECASE)
_NAMED = re.compile(r"[“\"]([^”\"]{2,80})[”\"]")


@dataclass(frozen=True)
class _Wishes:
    """What the notes of a review ask of the next draft."""

    dropped: frozenset[int] = frozenset()
    first: tuple[int, ...] = ()
    shorter: bool = False
    unmet: tuple[str, ...] = ()
    """Notes that quoting alone cannot meet."""


def compose(task: Task) -> Draft:
    """Write the report: short answer, findings, disagreements, gaps and sources."""
    evidence, analysis = task.need(Evidence), task.need(Analysis)
    title = _title(task.goal)
    wishes = _read_notes(task.notes, evidence)
    quotes = {quote.id: quote for quote in evidence.quotes if quote.id not in wishes.dropped}
    parts = _report(title, evidence, analysis, quotes, wishes) if quotes else _nothing(title, evidence, analysis)
    markdown = "\n\n".join(part for part in parts if part) + "\n"
    if task.notes:
        task.say(f"revised after {len(task.notes)} notes")
    task.say(f"wrote {len(markdown.split())} words, {len(set(CITATION.findall(markdown)))} quotes cited")
    return Draft(title=title, markdown=markdown, method="extracted")


def _report(
    title: str, evidence: Evidence, analysis: Analysis, quotes: dict[int, Quote], wishes: _Wishes
) -> Iterator[str]:
    direct = [id for id in (*wishes.first, *analysis.answer) if id in quotes] or [next(iter(quotes))]
    direct = list(dict.fromkeys(direct))
    grouped = [] if wishes.shorter else _grouped(analysis, quotes, direct)
    cited = [*direct, *(id for _, ids in grouped for id in ids)]
    documents = len({quotes[id].source for id in cited})
    yield f"# {escape(title)}"
    yield (
        "*Extracted offline by signoff, not generated: every passage below is quoted word for word from the documents. "
        f"{_searched(evidence.searched)}, {documents} {'is' if documents == 1 else 'are'} quoted.*"
    )
    yield "## In short"
    yield from (blockquote(quotes[id].text, id, _attribution(quotes[id])) for id in direct)
    if grouped:
        yield "## Findings"
    for heading, ids in grouped:
        yield f"### {escape(flatten(heading))}"
        mixed = len({quotes[id].source for id in ids}) > 1
        yield from (blockquote(quotes[id].text, id, _attribution(quotes[id]) if mixed else "") for id in ids)
    yield from _section(
        "Where the documents disagree",
        [
            f"[{conflict.first}] and [{conflict.second}] seem to disagree: {escape(conflict.why)}."
            for conflict in analysis.conflicts
            if conflict.first in cited and conflict.second in cited
        ],
    )
    yield from _section("What the documents do not say", [escape(gap) for gap in analysis.gaps])
    yield from _section("What the review asked for and quoting cannot do", [escape(note) for note in wishes.unmet])
    yield from _section("Sources", _sources([quotes[id] for id in cited]))


def _nothing(title: str, evidence: Evidence, analysis: Analysis) -> Iterator[str]:
    """The honest report when there is nothing to quote."""
    looked = [term.word for term in whole(evidence.question).terms]
    yield f"# {escape(title)}"
    yield (
        f"**Nothing was found that answers this.** {_searched(evidence.searched)}, and no passage in them speaks of "
        "enough of the question to be quoted. Nothing was generated in its place."
    )
    if looked:
        yield f"Looked for: {', '.join(escape(word) for word in looked)}."
    gaps = [escape(gap) for gap in analysis.gaps if not gap.startswith("No passage speaks")]
    yield from _section("What the documents do not say", gaps)
    yield (
        "If the answer should be there, ask with the words the documents use, or add the documents that hold it."
    )


def _title(goal: str) -> str:
    """The goal as a title: one line, a capital at the front, not too long."""
    text = flatten(goal).rstrip(" .,;:") or "Report"
    if len(text) > _LONGEST_TITLE:
        text = text[:_LONGEST_TITLE].rsplit(" ", 1)[0].rstrip(" .,;:") + "…"
    return text[0].upper() + text[1:]


def _searched(number: int) -> str:
    return f"{number:,} document{' was' if number == 1 else 's were'} searched"


def _grouped(analysis: Analysis, quotes: dict[int, Quote], used: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Headings with the quotes below them, without those used before; what no theme holds comes last."""
    seen = set(used)
    grouped: list[tuple[str, list[int]]] = []
    for theme in analysis.themes:
        ids = [id for id in dict.fromkeys(theme.quotes) if id in quotes and id not in seen]
        seen.update(ids)
        if ids:
            grouped.append((theme.title, ids))
    rest = [id for id in quotes if id not in seen]
    return [*grouped, ("Also found", rest)] if rest else grouped


def _section(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield f"## {title}"
        yield "\n".join(f"- {item}" for item in items)


def _attribution(quote: Quote) -> str:
    innermost = quote.heading.split(" › ")[-1]
    return f"*{escape(flatten(name(quote)))}*" + (f", {escape(flatten(innermost))}" if innermost else "")


def _sources(quotes: Sequence[Quote]) -> list[str]:
    """Where the quotes stand, in order of first appearance; those from one place share a line."""
    places: dict[str, list[int]] = {}
    for quote in quotes:
        path = f"`{quote.source}`" if "`" not in quote.source else escape(quote.source)
        named = f"*{escape(flatten(quote.title))}*, {path}" if quote.title.strip() else path
        place = named + (f", under {escape(flatten(quote.heading))}" if quote.heading else "")
        places.setdefault(place, []).append(quote.id)
    return [f"{' '.join(f'[{id}]' for id in ids)} {place}" for place, ids in places.items()]


def _read_notes(notes: Sequence[str], evidence: Evidence) -> _Wishes:
    """Turn the notes of a review into what quoting can do about them."""
    dropped: set[int] = set()
    first: list[int] = []
    unmet: list[str] = []
    shorter = False
    for note in notes:
        named = [int(id) for id in CITATION.findall(note)]
        wanted = [] if named else _wanted(note, evidence)
        if named and _FORWARD.search(note):
            first += named
        elif named:
            dropped.update(named)
        first += wanted
        brief = bool(_SHORTER.search(note))
        shorter = shorter or brief
        if not (named or wanted or brief):
            unmet.append(flatten(note))
    return _Wishes(frozenset(dropped), tuple(dict.fromkeys(first)), shorter, tuple(unmet))


def _wanted(note: str, evidence: Evidence) -> list[int]:
    """The quotes that speak most of what a note names, in quotation marks or else in any words; two at most."""
    asked = {words.stem(word) for part in (_NAMED.findall(note) or [note]) for word in words.content(part)}
    own = {words.stem(word) for word in words.content(evidence.question)}
    asked -= own if asked - own else set()
    held = {quote.id: len(asked & bag(quote.text).stems) for quote in evidence.quotes}
    best = sorted((id for id in held if held[id]), key=lambda id: (-held[id], id))
    return best[:2]
