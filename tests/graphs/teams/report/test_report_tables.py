"""The report team over a folder that holds tables: figures, charts, approval, and what is written."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from signoff import Run, report_team
from signoff.agents.roles.analyst import Figure, SortingAndFigures
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives
from signoff.tools.analysis.charts import Labels, can_draw, draw
from signoff.tools.analysis.tables import Tables
from signoff.tools.storage.blobs import Blobs

QUESTION = "Why does the tide rise and fall?"
QUOTE = "The tide rises and falls twice a day because the moon pulls the water of the ocean."
SQL = "select harbour, metres from ranges order by metres"


@pytest.fixture
def documents(home: Path) -> Path:
    folder = home / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text(f"# Tides\n\n{QUOTE}\nThe tidal range is largest during a spring tide.\n")
    (folder / "ranges.csv").write_text("harbour,metres\nEast,3.5\nWest,6.25\nNorth,1.5\n")
    return folder


def test_the_function_bodies_measure_a_table_that_the_goal_names(documents: Path) -> None:
    run = Run.start(report_team(documents, model="offline"), f"{QUESTION} And what is the mean of ranges.csv?")
    assert run.artifacts["Review"].accepted
    assert "| metres | 3 | 1.5 | 3.75 | 3.5 | 6.25 |" in run.artifacts["Draft"].markdown
    run.approve()
    assert "3.75" in Path("report.md").read_text()


def test_a_plain_question_is_computed_drawn_and_shown_first_and_a_folder_of_workbooks_alone_will_do(home: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl comes with the extra `analysis`")
    book, folder = openpyxl.Workbook(), home / "books"
    folder.mkdir()
    for row in (("Region", "Units Sold"), ("North", 3), ("South", 5), ("North", 4)):
        book.active.append(row)
    book.save(folder / "sales.xlsx")
    run = Run.start(report_team(folder, model="offline"), "What are the total units sold by region?")
    shown = run.artifacts["Draft"].markdown
    assert run.approval is not None
    assert run.approval.action == "publish_report"
    assert "### sum of Units\\_Sold by Region" in shown or "### sum of Units_Sold by Region" in shown
    assert "| North | 7 |\n| South | 5 |" in shown
    assert len(run.artifacts["Analysis"].pictures) == can_draw()
    assert "do not say" not in shown
    run.approve()
    assert "| North | 7 |" in Path("report.md").read_text()


def test_what_a_model_computed_and_drew_is_approved_and_written_with_the_report(documents: Path) -> None:
    drawn = draw("bar", Tables.open(documents, home="other").query(SQL), Labels(title="Ranges"), sql=SQL)
    sorting = SortingAndFigures(
        answer=[1],
        themes=[],
        figures=[Figure(title="By harbour", sql=SQL), Figure(title="Not so", sql="drop table ranges")],
        charts=[drawn.name, "chart-000000000000.png"],
    )
    script = {
        "researcher": [gives(Findings(findings=[Finding(source="tides.md", text=QUOTE)]))],
        "analyst": [calls("make_chart", sql=SQL, kind="bar", title="Ranges"), gives(sorting)],
        "writer": [
            gives(Text(title="Tides", answer=[Sentence(text="The moon pulls the water twice a day.", quotes=[1])]))
        ],
        "reviewer": [gives(Judgement(accepted=True))] * 2,
    }
    with ScriptedServer(script) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(report_team(documents, settings=known), QUESTION, settings=known)
        analysis = run.artifacts["Analysis"]
        assert [computation.title for computation in analysis.computations] == ["By harbour"]
        assert [picture.name for picture in analysis.pictures] == [drawn.name]
        assert run.approval is not None
        assert run.approval.shown["attachments"] == [
            {"name": drawn.name, "sha256": drawn.sha256, "bytes": len(drawn.png)}
        ]
        shown = run._repr_html_()
        assert shown is not None
        (inline,) = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="Ranges">', shown)
        assert base64.b64decode(inline) == drawn.png
        assert not Path(drawn.name).exists()
        run.approve()
    assert run.status == "done"
    assert Path(drawn.name).read_bytes() == drawn.png
    report = Path("report.md").read_text()
    assert f"![Ranges]({drawn.name})" in report
    assert "| North | 1.5 |\n| East | 3.5 |\n| West | 6.25 |" in report


def test_a_chart_that_is_gone_when_it_is_approved_stops_the_writing(documents: Path) -> None:
    drawn = draw("bar", Tables.open(documents, home="other").query(SQL), Labels(title="Ranges"), sql=SQL)
    script = {
        "researcher": [gives(Findings(findings=[Finding(source="tides.md", text=QUOTE)]))],
        "analyst": [
            calls("make_chart", sql=SQL, kind="bar", title="Ranges"),
            gives(SortingAndFigures(answer=[1], themes=[], charts=[drawn.name])),
        ],
        "writer": [
            gives(Text(title="Tides", answer=[Sentence(text="The moon pulls the water twice a day.", quotes=[1])]))
        ],
        "reviewer": [gives(Judgement(accepted=True))] * 2,
        "You supervise": [gives({"next": "person", "reason": "Nobody knows.", "instructions": ""})] * 3,
    }
    with ScriptedServer(script) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(report_team(documents, settings=known), QUESTION, settings=known)
        Blobs(known.home).path(drawn.sha256).unlink()
        assert "data:image/png" not in (run._repr_html_() or "")
        run.approve()
    assert run.values["outcomes"][-1]["status"] == "failed"
    assert not Path("report.md").exists()


def test_a_folder_without_tables_offers_none(documents: Path) -> None:
    (documents / "ranges.csv").unlink()
    team = report_team(documents, model="offline")
    (analyst,) = [agent for agent in team.agents if agent.role == "analyst"]
    assert analyst.tools == ()
    run = Run.start(team, QUESTION)
    assert "<img" not in str(run._repr_html_())
