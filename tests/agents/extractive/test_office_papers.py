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
    assert {conflict.why.partition(";")[0] for conflict in task.need(Analysis).conflicts} <= {
        "“20 messages” in one, “45 messages” in the other",
        "“45 messages” in one, “20 messages” in the other",
    }


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What caused the cellar flooding?", "The float switch was stuck"),
        ("How many people work in Gardens?", "| Gardens | 7 |"),
        ("Why did we take linseed paint instead of acrylic?", "none has used acrylic"),
        ("When does the repair of the benches end and who is in charge?", "Owner: Otto Brenner."),
        ("Who owns the repair of the benches?", "Owner: Otto Brenner."),
        ("What is the inn limit?", "up to 90 euros"),
    ],
)
def test_the_papers_answer_in_their_own_words(question: str, words: str, papers: Ask) -> None:
    task = papers(question)
    assert task.need(Evidence).sure
    assert words in task.need(Draft).markdown


def test_a_word_of_a_file_name_is_not_called_unused(papers: Ask) -> None:
    assert papers("pump").need(Evidence).missing == ()


def test_what_only_asks_for_changes_is_not_called_unused(papers: Ask) -> None:
    assert papers("What was updated about the fence and the zeppelin?").need(Evidence).missing == ("zeppelin",)


def test_what_later_minutes_say_stands_beside_what_earlier_ones_said(papers: Ask) -> None:
    report = papers("What did we decide about seedlings?").need(Draft).markdown
    for words in ("to the north house", "slips to 20 March", "completed on 22 March", "Crew meeting, 2 April 2024"):
        assert words in report
    assert "fence" not in report
    kept = " ".join(quote.text for quote in papers("How long are seedlings kept?").need(Evidence).quotes)
    assert "40 days" in kept
    assert "28 days" in kept
