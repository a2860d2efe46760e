"""What the evidence answers, how it hangs together, where it disagrees and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Evidence, Quote
from signoff.agents.extractive.answer_cues import may_state
from signoff.agents.extractive.conflicts import find_conflicts
from signoff.agents.extractive.grouping import answers, themes, unanswered
from signoff.agents.extractive.matching import word_index
from signoff.agents.extractive.question import Kind, Question, Term, understand, whole
from signoff.wording import counted

_NOT_STATED: dict[Kind, str] = {
    "why": "No quoted passage says “because” or the like; a reason may be there all the same.",
    "when": "No quoted passage gives a date.",
    "who": "No quoted passage names a person or a body in so many words.",
    "count": "No quoted passage gives a figure.",
    "span": "No quoted passage gives a length of time.",
}


def analyse(task: Task) -> Analysis:
    """Pick the direct answers, group the quotes, and name the contradictions and the gaps."""
    evidence = task.need(Evidence)
    quotes = evidence.quotes
    analysis = Analysis(
        answer=answers(task.goal, quotes),
        themes=themes(quotes) if quotes else (),
        conflicts=find_conflicts(quotes, understand(task.goal)),
        gaps=tuple(dict.fromkeys(_gaps(task.goal, evidence))),
    )
    task.say(
        f"{counted(len(analysis.themes), 'theme')}, {counted(len(analysis.conflicts), 'contradiction')}, "
        f"{counted(len(analysis.gaps), 'gap')}"
    )
    return analysis


def addresses(quote: Quote, term: Term) -> bool:
    """True if a quote, or the place it stands at, speaks of a word of the question."""
    return any(word_index(part).holds(term) for part in (quote.text, quote.heading, quote.title))


def _gaps(goal: str, evidence: Evidence) -> Iterator[str]:
    terms = [term for term in whole(goal).terms if not term.weak]
    absent = [term.word for term in terms if term.word in evidence.missing]
    if absent:
        yield f"No document uses the word{'s' if len(absent) > 1 else ''} {_listed(absent, 'or')}."
    quotes = evidence.quotes
    if not quotes:
        yield "No passage speaks of enough of the question to be quoted."
        return
    unmet = [t.word for t in terms if t.word not in absent and not any(addresses(quote, t) for quote in quotes)]
    if unmet:
        yield f"No quoted passage uses the word{'s' if len(unmet) > 1 else ''} {_listed(unmet, 'or')}."
    left = unanswered(goal, quotes)
    for question in left:
        yield f"Nothing that was found answers “{question.text.strip()}”."
    for question in understand(goal):
        if question not in left and not _is_stated(question, quotes):
            yield _NOT_STATED[question.kind]


def _is_stated(question: Question, quotes: Sequence[Quote]) -> bool:
    """False only if no quote has anything that could be what is asked for: no digit, no name, no word of reasons."""
    return any(may_state(question.kind, quote.text, quote.heading) for quote in quotes)


def _listed(items: Sequence[str], last: str) -> str:
    shown = [f"“{item}”" for item in items]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
