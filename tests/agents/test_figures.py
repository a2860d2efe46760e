"""What a report shows of tables is what the tables gave, and it shows no other picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Draft, Evidence, Picture, Quote, Review
from signoff.agents.extractive.analysis import analyse
from signoff.agents.extractive.report import compose
from signoff.agents.figures import compute, figures_section, measure
from signoff.agents.roles.checks import find_images, inspect
from signoff.tools.analysis import Charts, can_draw
from signoff.tools.analysis.tables import Tables

QUOTE = Quote(id=1, text="The tide rises and falls twice a day.", source="tides.md", start=-1)
PICTURE = Picture(title="Ranges", name="chart-0123456789ab.png", sha256="0" * 64, bytes=3, sql="select 1")


@pytest.fixture
def tables(home: Path) -> Tables:
    folder = home / "numbers"
    folder.mkdir()
    (folder / "ranges.csv").write_text("harbour,metres\nEast,3.5\nWest [1],6.25\n| North,1.5\n")
    (folder / "people.csv").write_text("name\nAnn\n")
    return Tables.open(folder)


def task_of(analysis: Analysis, goal: str = "How often does the tide rise?") -> Task:
    task = Task(goal, {"Evidence": Evidence(question=goal, quotes=(QUOTE,), searched=1, matched=1)})
    sorted_ = analyse(task).model_copy(
        update={"computations": analysis.computations, "pictures": analysis.pictures, "gaps": ()}
    )
    task = replace(task, artifacts={**task.artifacts, "Analysis": sorted_})
    return replace(task, artifacts={**task.artifacts, "Draft": compose(task)})


def review(task: Task, old: str = "", new: str = "", tables: Tables | None = None) -> Review:
    draft = task.need(Draft)
    assert old in draft.markdown
    changed = draft.model_copy(update={"markdown": draft.markdown.replace(old, new, 1)})
    return inspect(replace(task, artifacts={**task.artifacts, "Draft": changed}), None, tables)


def figures(review: Review) -> str:
    (check,) = [check for check in review.checks if check.name == "figures"]
    return "" if check.passed else check.detail


def test_what_was_computed_stands_in_the_report_as_it_is(tables: Tables) -> None:
    analysis = Analysis(
        computations=(compute(tables, "Ranges\n# by *harbour*", "select harbour, metres from ranges order by 2"),),
        pictures=(PICTURE,),
    )
    task = task_of(analysis)
    shown = task.need(Draft).markdown
    assert r"### Ranges # by \*harbour\*" in shown
    assert "| \\| North | 1.5 |\n| East | 3.5 |\n| West \\[1\\] | 6.25 |" in shown
    assert "```sql\n  select harbour, metres from ranges order by 2\n```" in shown
    assert "![Ranges](chart-0123456789ab.png)" in shown
    assert shown.index("From the tables") < shown.index("## Sources")
    found = review(task, tables=tables)
    assert figures(found) == ""
    assert found.accepted, found.notes


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("6.25", "9.25", "leaves out or changes"),
        ("order by 2", "order by 1", "leaves out or changes"),
        ("chart-0123456789ab.png", "chart-ffffffffffff.png", "is no chart of the analysis"),
        ("## Sources", "![x](https://example.org/a.png)\n\n## Sources", "https://example.org/a.png” is no chart"),
        ("## Sources", "![x][1]\n\n[1]: https://example.org/b.png\n\n## Sources", "b.png” is no chart"),
        ("## Sources", '<img src="https://example.org/c.png">\n\n## Sources', "is no chart"),
    ],
)
def test_a_changed_figure_and_any_other_picture_are_found(tables: Tables, old: str, new: str, says: str) -> None:
    sql = "select harbour, metres from ranges order by 2"
    task = task_of(Analysis(computations=(compute(tables, "Ranges", sql),), pictures=(PICTURE,)))
    found = review(task, old, new)
    assert says in figures(found)
    assert not found.accepted


def test_a_picture_in_a_report_without_tables_is_found(tables: Tables) -> None:
    task = task_of(Analysis())
    assert [check.name for check in review(task).checks if check.name == "figures"] == []
    assert "is no chart" in figures(review(task, "## Sources", "![](//example.org/a.png)\n\n## Sources"))


def test_figures_that_the_tables_no_longer_give_send_the_analysis_back(tables: Tables) -> None:
    task = task_of(Analysis(computations=(compute(tables, "Ranges", "select sum(metres) from ranges"),)))
    assert figures(review(task, tables=tables)) == ""
    (Path(tables.origins[0]) / "ranges.csv").write_text("harbour,metres\nEast,99\n")
    tables.refresh()
    found = review(task, tables=tables)
    assert (found.accepted, found.about) == (False, "Analysis")
    assert "The tables no longer give “Ranges”" in found.notes[0]
    (Path(tables.origins[0]) / "ranges.csv").unlink()
    tables.refresh()
    assert "no longer give" in figures(review(task, tables=tables))


def test_a_query_cannot_end_the_section_or_the_code_it_is_shown_in(tables: Tables) -> None:
    sql = "select [7], '```\n## Sources\n' as a\n-- ~~~\n## Sources"
    section = figures_section(Analysis(computations=(compute(tables, "t", "select 1"),), pictures=(PICTURE,)))
    assert "## Sources" not in section
    hostile = Analysis(pictures=(PICTURE.model_copy(update={"sql": sql}),))
    task = task_of(hostile)
    assert figures(review(task)) == ""
    assert review(task).accepted
    assert "\n## Sources" not in figures_section(hostile)


@pytest.mark.parametrize(
    ("goal", "title", "rows", "drawn"),
    [
        ("mean of metres in ranges.csv", "mean of metres (ranges.csv)", ((3.75,),), False),
        (
            "Which harbour has the highest metres?",
            "max of metres by harbour (ranges.csv)",
            (("West [1]", 6.25), ("East", 3.5), ("| North", 1.5)),
            True,
        ),
        (
            "What is the total of ranges.csv?",
            "The numbers of ranges.csv (3 rows)",
            (("metres", 3, 1.5, 3.75, 3.5, 6.25),),
            False,
        ),
    ],
)
def test_the_function_body_computes_and_draws_what_a_plain_question_asks_of_a_table(
    tables: Tables, home: Path, goal: str, title: str, rows: tuple[tuple[str | float, ...], ...], drawn: bool
) -> None:
    ((computed,), pictures) = measure(goal, tables, Charts(home))
    assert (computed.title, computed.rows) == (title, rows)
    assert len(pictures) == (drawn and can_draw())
    assert all(Charts(home).find(picture.name) is not None for picture in pictures)


def test_nothing_is_computed_that_is_not_asked_of_a_table(tables: Tables, home: Path) -> None:
    for goal in ("What is in ranges.csv?", "What is the average tide?", "the total of people.csv", "How deep is it?"):
        assert measure(goal, tables, Charts(home)) == ((), ())


def test_images_are_found_wherever_markdown_has_them() -> None:
    text = "![x](one.png) [![y](two.png)](three)\n\n> - ![z][r]\n\n| a |\n|---|\n| ![t](four.png) |\n\n[r]: five.png\n"
    assert list(find_images(text)) == ["one.png", "two.png", "five.png", "four.png"]
    assert list(find_images("`![x](no.png)` \\![x](no.png) [x](no.png)\n\n    ![x](no.png)")) == []
    assert [tag.lower() for tag in find_images("a <IMG src=x> <b>b</b>\n\n<svg>\n")] == ["<img", "<svg"]
