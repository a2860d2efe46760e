"""What the evidence answers, where it disagrees and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Evidence, Quote, Theme
from signoff.agents.claims import disagreements
from signoff.wording import counted


def analyse(task: Task) -> Analysis:
    """Take the first quote for the answer, gather the others by document, and name contradictions and gaps."""
    evidence = task.need(Evidence)
    rest = evidence.quotes[1:] if evidence.sure else evidence.quotes
    analysis = Analysis(
        answer=tuple(quote.id for quote in evidence.quotes[:1] if evidence.sure),
        themes=tuple(
            Theme(title=name_of(quotes[0]), quotes=tuple(quote.id for quote in quotes))
            for quotes in (list(group) for _, group in groupby(rest, key=lambda quote: quote.source))
        ),
        conflicts=disagreements(evidence.quotes, task.goal),
        gaps=tuple(_gaps(evidence)),
    )
    task.say(
        f"{counted(len(analysis.themes), 'theme')}, {counted(len(analysis.conflicts), 'contradiction')}, "
        f"{counted(len(analysis.gaps), 'gap')}"
    )
    return analysis


def name_of(quote: Quote) -> str:
    """What to call the document that a quote is from."""
    return quote.title.strip() or quote.source.rpartition("/")[2]


def _gaps(evidence: Evidence) -> Iterator[str]:
    if absent := evidence.missing:
        yield f"No document uses the word{'s' if len(absent) > 1 else ''} {_listed(absent, 'or')}."
    for part in evidence.unmet:
        yield f"No quoted passage has enough of the words of “{part}”."


def _listed(items: Sequence[str], last: str) -> str:
    shown = [f"“{item}”" for item in items]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
