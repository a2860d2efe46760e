"""The report team, unchanged: with no model, and through the real OpenAI client against a scripted endpoint."""

from pathlib import Path
from typing import Any

import pytest

from signoff import Review, Run, report_team
from signoff.agents.artifacts import Analysis, Theme
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.errors import SourcesEmpty, SourcesMissing
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, fails, gives

pytestmark = pytest.mark.smoke

QUESTION = "Why does the tide rise and fall?"
QUOTE = "The tide rises and falls twice a day because the moon pulls the water of the ocean."
INVENTED = "Whales push the tide up every night."
FOUND = Findings(findings=[Finding(source="tides.md", text=QUOTE), Finding(source="tides.md", text=INVENTED)])
SORTED = Analysis(answer=(1,), themes=(Theme(title="Cause", quotes=(1, 7), summary="The moon does it."),))
GOOD = Text(title="The tide", answer=[Sentence(text="The moon pulls the water of the ocean twice a day.", quotes=[1])])
BAD = Text(
    title="The tide",
    answer=[
        Sentence(text="The moon pulls the water 14 times a day.", quotes=[]),
        Sentence(text="Whales help.", quotes=[9]),
    ],
)
CONTENT = Judgement(accepted=True)


@pytest.fixture
def documents(home: Path) -> Path:
    folder = home / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text(f"# Tides\n\n{QUOTE}\nThe tidal range is largest during a spring tide.\n")
    (folder / "harbour.md").write_text("# Harbour\n\nShips longer than 80 metres must take a pilot on board.\n")
    return folder


def script(**changes: Any) -> dict[str, Any]:
    return {
        "researcher": [calls("search_sources", query="tide moon"), gives(FOUND)],
        "analyst": [gives(SORTED)],
        "writer": [gives(GOOD)],
        "reviewer": [gives(CONTENT)],
        **changes,
    }


def start(server: ScriptedServer, documents: Path, **settings: Any) -> Run:
    known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0, **settings)
    return Run.start(report_team(documents, settings=known), QUESTION, settings=known)


def test_offline_and_a_model_run_the_same_team(documents: Path) -> None:
    offline = Run.start(report_team(documents, model="offline"), QUESTION)
    with ScriptedServer(script()) as server:
        generated = start(server, documents)
    for run in (offline, generated):
        assert run.approval is not None
        assert run.approval.action == "publish_report"
        assert run.artifacts["Review"].accepted
        assert QUOTE in " ".join(quote.text for quote in run.artifacts["Evidence"].quotes)
    assert [step["agent"] for step in offline.plan] == [step["agent"] for step in generated.plan]
    assert offline.artifacts["Draft"].method == "extracted"
    assert generated.artifacts["Draft"].method == "generated"
    assert offline.usage["calls"] == 0
    assert generated.usage["calls"] == 5
    generated.approve()
    report = Path("report.md").read_text()
    assert "twice a day [1]" in report
    assert "`tides.md`" in report


def test_a_quote_that_no_document_holds_is_thrown_away(documents: Path) -> None:
    with ScriptedServer(script()) as server:
        run = start(server, documents)
    (quote,) = run.artifacts["Evidence"].quotes
    assert QUOTE in quote.text
    assert INVENTED not in quote.text
    assert [theme.quotes for theme in run.artifacts["Analysis"].themes] == [(1,)]


def test_a_model_that_only_invents_still_gets_what_the_search_finds(documents: Path) -> None:
    invented = gives(Findings(findings=[Finding(source="tides.md", text=INVENTED)]))
    with ScriptedServer(script(researcher=[invented])) as server:
        run = start(server, documents)
    (quote,) = run.artifacts["Evidence"].quotes
    assert (QUOTE in quote.text, quote.by) == (True, "search")
    assert run.approval is not None
    assert run.approval.action == "publish_report"


def test_a_draft_with_false_citations_goes_back_whatever_the_models_think_of_it(documents: Path) -> None:
    with ScriptedServer(script(writer=[gives(BAD), gives(GOOD)], reviewer=[gives(CONTENT)] * 2)) as server:
        run = start(server, documents)
        drafts = [str(request.body) for request in server.requests if "You are the writer" in str(request.body)]
    assert [step["agent"] for step in run.plan] == [
        "researcher", "analyst", "writer", "reviewer", "writer", "reviewer"
    ]  # fmt: skip
    assert "[9]" in drafts[1]
    assert run.artifacts["Review"].accepted


def test_a_models_judgement_sends_a_draft_back_too(documents: Path) -> None:
    picky = Judgement(accepted=False, notes=["Say which ocean."])
    with ScriptedServer(script(writer=[gives(GOOD)] * 2, reviewer=[gives(picky), gives(CONTENT)])) as server:
        run = start(server, documents)
        last = [str(request.body) for request in server.requests if "You are the writer" in str(request.body)][-1]
    assert "Say which ocean." in last
    assert run.artifacts["Review"].accepted


def test_an_endpoint_that_fails_once_costs_one_more_try(documents: Path) -> None:
    with ScriptedServer(script(analyst=[fails(500), gives(SORTED)])) as server:
        run = start(server, documents)
    assert [step["status"] for step in run.plan if step["agent"] == "analyst"] == ["failed", "completed"]
    assert run.approval is not None
    assert run.approval.action == "publish_report"


def test_the_reviewer_notices_that_a_document_changed_meanwhile(documents: Path) -> None:
    from signoff.agents.agent import Task
    from signoff.agents.roles.checks import inspect
    from signoff.tools.search.sources import Sources

    run = Run.start(report_team(documents, model="offline"), QUESTION)
    (documents / "tides.md").write_text("# Tides\n\nThe tide has been abolished.\n")
    sources = Sources.open(documents)
    sources.refresh()
    review: Review = inspect(Task(goal=QUESTION, artifacts=run.artifacts), sources)
    assert not review.accepted
    assert review.about == "Evidence"
    assert "tides.md" in " ".join(review.notes)


def test_a_missing_and_an_empty_folder_are_said_to_be_so(home: Path) -> None:
    with pytest.raises(SourcesMissing, match="nowhere"):
        report_team("nowhere")
    (home / "empty").mkdir()
    with pytest.raises(SourcesEmpty, match="it is empty"):
        Run.start(report_team("empty", model="offline"), QUESTION)


def test_two_editions_of_one_text_give_a_report_with_both_and_no_pause(documents: Path) -> None:
    rule = (
        "A visitor must leave the quay within {} minutes after the horn. A visitor must carry a lamp on the quay when "
        "it is dark. A visitor who stays on the quay after the horn without a lamp is fined."
    )
    for name, minutes in (("rules-2023.md", 15), ("rules-2024.md", 20), ("rules-copy.md", 20)):
        (documents / name).write_text(f"# Rules of the quay\n\n{rule.format(minutes)}\n")
    run = Run.start(report_team(documents, model="offline"), "When must a visitor leave the quay after the horn?")
    assert run.approval is not None
    assert run.approval.action == "publish_report"
    assert [step["agent"] for step in run.plan] == ["researcher", "analyst", "writer", "reviewer"]
    assert sorted(quote.source for quote in run.artifacts["Evidence"].quotes[:2])[0] == "rules-2023.md"
    assert "within 15 minutes" in run.artifacts["Draft"].markdown
    assert run.artifacts["Draft"].markdown.count("> A visitor must leave the quay within 20 minutes") == 1


def test_a_question_that_nothing_answers_ends_in_a_report_that_says_so_and_no_pause(documents: Path) -> None:
    for question in ("Is a pilot allowed to bring a zeppelin with a trombone?", "Was Ulaanbaatar founded?"):
        run = Run.start(report_team(documents, model="offline"), question)
        assert run.approval is not None
        assert run.approval.action == "publish_report"
        assert not run.artifacts["Evidence"].sure
        assert (
            "judged to answer" in run.artifacts["Draft"].markdown
            or "Nothing was found" in run.artifacts["Draft"].markdown
        )
