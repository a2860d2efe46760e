"""Jobs are read line by line; what is none is told with its number, before anything is kept."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from signoff import Agent, Draft, Team
from signoff.errors import SettingsError
from signoff.fleet.queue import How, Submission, read_jobs
from signoff.graphs import FileToWrite
from signoff.settings import load_settings


class Order(BaseModel):
    """An order."""

    item: str
    count: int = 1


class Named(BaseModel):
    """Something with an id of its own."""

    id: str


class Filed(BaseModel):
    """An order that is written down."""

    item: str
    out: FileToWrite = "r.md"


CLERK = Agent(role="clerk", gives=Draft, function=lambda task: Draft(title="x", markdown="# x", method="extracted"))
SHOP = Team(agents=[CLERK], name="shop", input=Order)
PLAIN = Team(agents=[CLERK], name="plain")
FILED = Team(agents=[CLERK], name="filed", input=Filed)
NAMED = Team(agents=[CLERK], name="named", input=Named)
WRITER = Team(agents=[CLERK], name="writer", options={"out": "/tmp/report.md"})


def read(team: Team, *lines: object, how: How | None = None) -> Submission:
    return read_jobs(
        team, [line if isinstance(line, str) else json.dumps(line) for line in lines], load_settings(), how
    )


def problems(found: Submission) -> list[tuple[int, str]]:
    return [(line.number, line.problem) for line in found.bad]


def test_a_line_holds_what_the_team_takes_and_what_is_said_of_the_job() -> None:
    line = {"id": "a-1", "item": "ink", "count": 2, "tenant": "acme", "priority": 1, "budget": "$2", "deadline": "2h"}
    (job,) = read(SHOP, line).jobs
    assert (job.id, job.tenant, job.priority, job.team) == ("a-1", "acme", 1, "shop")
    assert job.options == {"run input": {"item": "ink", "count": 2}, "run budget": {"usd": 2.0}}
    assert job.goal == "An order: item = ink, count = 2"
    assert job.deadline > "2026"


def test_a_line_may_have_its_input_apart_and_must_where_a_field_is_called_as_something_of_the_job() -> None:
    assert read(SHOP, {"id": "a", "input": {"item": "ink"}}) == read(SHOP, {"id": "a", "item": "ink"})
    (job,) = read(NAMED, {"id": "a", "input": {"id": "b"}}).jobs
    assert (job.id, job.given) == ("a", {"id": "b"})
    ((number, said),) = problems(read(NAMED, {"id": "a"}))
    assert number == 1
    assert 'write the input as {"id": "…", "input": {"id": …}}' in said
    assert problems(read(SHOP, {"input": {"item": "x"}, "count": 2})) == [
        (1, "'count' stands beside its input: put it in, or take it away")
    ]


def test_a_job_without_an_id_is_known_by_what_it_is_given() -> None:
    first, second = read(PLAIN, {"goal": "one"}, {"goal": "two"}).jobs
    assert first.id != second.id
    assert read(PLAIN, {"goal": "one"}).jobs == (first,)
    assert read(PLAIN, {"id": 7, "goal": "one"}).jobs[0].id == "7"


def test_bad_lines_are_named_by_number_and_the_others_are_read() -> None:
    found = read(
        SHOP,
        {"item": "ink"},
        "",
        "nope",
        "[1]",
        {"id": "x"},
        {"id": "y", "item": "ink", "count": "many"},
        {"id": "a/b", "item": "ink"},
        {"item": "ink", "tenant": "a b"},
        {"item": "ink", "priority": 0},
        {"item": "ink", "priority": True},
        {"item": "ink", "deadline": "soon"},
        {"item": "ink", "deadline": "2026-01-31T09:30"},
        {"item": "ink", "deadline": "2026-01-31T09:30Z"},
        {"item": "ink", "budget": "much"},
        {"id": "z", "item": "ink"},
        '{"id": "z", "id": "z", "item": "ink"}',
        {"id": "z", "item": "pen"},
    )
    assert [job.given["item"] for job in found.jobs] == ["ink", "ink"]
    assert [number for number, _ in problems(found)] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17]
    said = dict(problems(found))
    assert "item is missing" in said[5]
    assert "names no zone" in said[12]
    assert "is over" in said[13]
    assert "'id' is there twice" in said[16]
    assert said[17] == "its id 'z' is that of line 15, with another input"


@pytest.mark.parametrize("deadline", [f"{'9' * 17}d", f"{'9' * 400}s", "9999-12-31T23:59:59-23:59", [1], {}, 1e300])
def test_a_deadline_that_no_calendar_has_is_a_bad_line(deadline: object) -> None:
    found = read(PLAIN, {"goal": "x", "deadline": deadline}, {"goal": "y"})
    assert [(number, "is neither a span" in problem) for number, problem in problems(found)] == [(1, True)]
    assert [job.goal for job in found.jobs] == ["y"]


def test_what_is_said_twice_is_one_job() -> None:
    found = read(PLAIN, {"id": "a", "goal": "one"}, {"id": "a", "goal": "one"})
    assert (len(found.jobs), found.repeated, found.bad) == (1, 1, ())


def test_a_goal_is_all_that_a_team_without_an_input_takes() -> None:
    assert problems(read(PLAIN, {"goal": "one", "item": "x"}))[0][1].startswith("input: team 'plain' takes a goal")
    assert len(read(PLAIN, {"goal": " "}).bad) == 1


def test_jobs_that_would_write_one_file_are_refused_and_each_gets_its_own() -> None:
    with pytest.raises(SettingsError, match="2 jobs would all write to"):
        read(WRITER, {"id": "a", "goal": "one"}, {"id": "b", "goal": "two"})
    found = read(WRITER, {"id": "a", "goal": "one"}, {"id": "b", "goal": "two"}, how=How(out=Path("/x/{id}.md")))
    assert [job.options["out"] for job in found.jobs] == ["/x/a.md", "/x/b.md"]
    with pytest.raises(SettingsError, match=r"2 jobs would all write to .*/r\.md"):
        read(FILED, {"item": "ink"}, {"item": "pen"})
    lines = ({"id": "a", "item": "ink"}, {"id": "b", "item": "pen", "out": "/y.md"}, {"item": "ink"})
    found = read(FILED, *lines, how=How(out=Path("/x/{id}.md")))
    assert [job.options["run input"]["out"] for job in found.jobs] == ["/x/a.md", "/y.md", f"/x/{found.jobs[2].id}.md"]
    assert [job.given["out"] for job in found.jobs] == [job.options["run input"]["out"] for job in found.jobs]
    with pytest.raises(SettingsError, match="writes no such file"):
        read(PLAIN, {"goal": "one"}, how=How(out=Path("x.md")))
