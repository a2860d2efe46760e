"""Reports on the papers of an office: titles, tables, and minutes that change what earlier minutes say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Draft, Evidence
from signoff.tools.search.sources import Sources

Ask = Callable[[str], Task]
Report = Callable[[str, Sources], Task]

PAPERS = {
    "specs/pump-v1.md": "# Valve protocol v1\n\nThe message limit is 20 messages a minute per valve.\n",
    "specs/pump-v2.md": (
        "# Valve protocol v2\n\nThe message limit is 45 messages a minute per valve; above it the valve is silent.\n"
    ),
    "notes/flood.md": (
        "# Post-mortem: cellar flooding of 3 May 2024\n\n## Cause\n\nThe float switch was stuck, because the sieve had "
        "not been cleaned since autumn.\n"
    ),
    "staff.csv": "crew,people,lead\nGardens,7,Mara Lind\nWorkshop,3,Otto Brenner\n",
    "notes/paint.md": (
        "# Note 3: Linseed paint instead of acrylic\n\n## Context\n\nTwo painters know linseed paint, none has used "
        "acrylic outdoors.\n"
    ),
    "notes/benches.md": "# Benches\n\nThe repair of the benches ends in June 2024. Owner: Otto Brenner.\n",
    "notes/stays.md": "# Trips\n\n## Inns\n\nInns are paid for up to 90 euros a night.\n",
    "minutes/2024-02-06.md": (
        "# Crew meeting, 6 February 2024\n\n## Seedlings\n\nWe decided to move the seedlings to the north house. Mara "
        "owns the move; it should be finished by 1 March 2024. Seedlings are kept for 40 days.\n"
    ),
    "minutes/2024-03-05.md": (
        "# Crew meeting, 5 March 2024\n\n## Seedlings\n\nThe move slips to 20 March 2024 as the heating is late.\n"
    ),
    "minutes/2024-04-02.md": (
        "# Crew meeting, 2 April 2024\n\n## Seedlings\n\nThe move to the north house was completed on 22 March 2024. "
        "The time was changed to 28 days because of the space.\n\n## Fence\n\nThe fence is painted green.\n"
    ),
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """The papers, indexed."""
    folder: Path = tmp_path_factory.mktemp("office")
    for path, text in PAPERS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    sources = Sources.open(folder, database=tmp_path_factory.mktemp("index") / "office.db")
    sources.refresh()
    yield sources
    sources.close()


@pytest.fixture
def papers(report: Report, office: Sources) -> Ask:
    """Have a question about the papers reported on."""
    return lambda question: report(question, office)


def test_versions_that_only_titles_name_are_compared(papers: Ask) -> None:
    task = papers("Compare version 1 and version 2 of the valve protocol")
    assert {quote.source for quote in task.need(Evidence).quotes} >= {"specs/pump-v1.md", "specs/pump-v2.md"}
    assert task.need(Evidence).missing == ()
    (conflict,) = task.need(Analysis).conflicts
    assert "“20 messages”" in conflict.why
    assert conflict.why.endswith("is of the later version")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What caused the cellar flooding?", "The float switch was stuck"),
        ("How many people work in Gardens?", "people: 7"),
        ("Why did we take linseed paint instead of acrylic?", "none has used acrylic"),
        ("When does the repair of the benches end and who is in charge?", "Owner: Otto Brenner."),
        ("Who owns the repair of the benches?", "Owner: Otto Brenner."),
        ("What is the inn limit?", "up to 90 euros"),
    ],
)
def test_what_is_quoted_is_not_called_missing(question: str, words: str, papers: Ask) -> None:
    task = papers(question)
    report = task.need(Draft).markdown
    assert words in report
    for gap in ("gives a", "names a", "because” or", "Nothing that was found", "“flooding”"):
        assert gap not in report.partition("## What the documents do not say")[2].partition("## Sources")[0]


def test_a_word_of_a_file_name_is_not_called_unused(papers: Ask) -> None:
    assert papers("pump").need(Evidence).missing == ()


def test_later_minutes_are_quoted_in_order_of_time(papers: Ask) -> None:
    report = papers("What did we decide about seedlings?").need(Draft).markdown
    places = [report.find(words) for words in ("to the north house", "slips to 20 March", "completed on 22 March")]
    assert -1 not in places
    assert places == sorted(places)
    assert "Crew meeting, 2 April 2024" in report
    assert "fence" not in report


def test_a_figure_that_later_minutes_change_is_shown_with_the_later_one(papers: Ask) -> None:
    task = papers("How long are seedlings kept?")
    texts = " ".join(quote.text for quote in task.need(Evidence).quotes)
    assert "40 days" in texts
    assert "28 days" in texts
    (conflict,) = task.need(Analysis).conflicts
    assert "“40 days”" in conflict.why
    assert conflict.why.endswith("is of 2024-04-02, and later")
