"""Nothing that is asked writes anything, or reads anything but the tables."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from signoff.errors import QueryRefused
from signoff.tools.analysis import query_process as guard
from signoff.tools.analysis.query import QueryLimits, ask
from signoff.tools.analysis.tables import Tables

CANARY = "canary-5f0e"
BRIEF = QueryLimits(seconds=1, memory_mb=64)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that has a table to read and one to keep secret, and a file beside it."""
    folder = tmp_path_factory.mktemp("guarded")
    connection = sqlite3.connect(folder / "tables.db")
    connection.execute("create table sales (region text, amount real)")
    connection.executemany("insert into sales values (?, ?)", [("north", 1.0), ("south", 2.5), ("east", None)])
    connection.execute("create table hidden (word text)")
    connection.execute("insert into hidden values (?)", [CANARY])
    connection.commit()
    connection.close()
    (folder / "secret.txt").write_text(CANARY)
    return folder


def state(folder: Path) -> list[tuple[str, int, bytes]]:
    """Every file, when it was changed, and what it holds."""
    return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())]


def request(folder: Path, *statements: str) -> dict[str, Any]:
    return {
        "uri": f"{(folder / 'tables.db').as_uri()}?mode=ro",
        "tables": ["sales"],
        "statements": list(statements),
        "rows": 100,
        "characters": 10_000,
        "seconds": 0.3,
    }


WRITES = [
    "insert into sales values ('x', 1)",
    "update sales set amount = 0",
    "delete from sales",
    "replace into sales values ('x', 1)",
    "drop table sales",
    "create table other (a)",
    "create temp table other (a)",
    "create view other as select 1",
    "create trigger other after insert on sales begin select 1; end",
    "create virtual table other using fts5(a)",
    "create virtual table other using fts3tokenize",
    "create virtual table temp.other using dbstat",
    "alter table sales rename to other",
    "attach 'other.db' as other",
    "attach ':memory:' as other",
    "detach main",
    "pragma query_only = 0",
    "pragma writable_schema = 1",
    "pragma hard_heap_limit = 0",
    "vacuum",
    "vacuum into 'copy.db'",
    "reindex",
    "analyze",
    "begin",
    "commit",
    "savepoint a",
]
READS = [
    "select word from hidden",
    "select count(*) from hidden",
    "select 1 from hidden",
    "select 1 in hidden",
    "select exists (select 1 from hidden)",
    "select * from sales, hidden",
    "select * from sales natural join hidden",
    "select word from main.hidden",
    'select "word" from "HIDDEN"',
    "select * from [hidden]",
    "with a as (select word from hidden) select word from a",
    "with recursive a(n) as (select word from hidden union select n from a) select n from a",
    "select (select word from hidden)",
    "select region from sales order by (select word from hidden)",
    "select region from sales union select word from hidden",
    "select sql from sqlite_master",
    "select count(*) from sqlite_master",
    "select * from sqlite_schema",
    "select * from sqlite_temp_master",
    "select * from pragma_database_list",
    "select count(*) from pragma_table_list",
    "select * from pragma_function_list",
    "select * from dbstat",
    "select * from sqlite_dbpage",
    "select * from sqlite_stmt",
    "select * from fts3tokenize",
    "select * from hidden('a')",
    "select load_extension('libm.so')",
    "select readfile('secret.txt')",
    "select writefile('other.txt', 'a')",
    "select edit('a')",
    "select fts3_tokenizer('simple')",
    "select sqlite_version()",
    "select sqlite_source_id()",
    "select randomblob(10)",
    "select zeroblob(10)",
    "select last_insert_rowid()",
    "select * from sales; select * from hidden",
    "explain select word from hidden",
    "explain query plan select 1",
]


@pytest.mark.parametrize("statement", WRITES + [f"with a as (select 1) {statement}" for statement in WRITES] + READS)
def test_what_is_no_reading_of_the_tables_is_refused(place: Path, statement: str) -> None:
    before = state(place)
    answer = guard.answer(request(place, statement))
    assert "error" in answer
    assert CANARY not in str(answer)
    assert state(place) == before


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("select region from SALES order by 1", [["east"], ["north"], ["south"]]),
        ("-- a comment\n /* and another */ with a as (select amount n from sales) select count(*) from a", [[3]]),
        ("select count(*) from (select region from sales)", [[3]]),
        ("values (1, 'a;b')", [[1, "a;b"]]),
        ("select sum(value) from json_each('[1, 2]')", [[3]]),
        ("with recursive a(n) as (select 1 union all select n + 1 from a limit 4) select sum(n) from a", [[10]]),
        ("select region, rank() over (order by amount desc) from sales limit 1", [["south", 1]]),
        ("select x'00ff', 1e999, null", [["x'00ff'", "inf", None]]),
        ("select 1;", [[1]]),
    ],
)
def test_reading_the_tables_is_answered(place: Path, statement: str, rows: list[Any]) -> None:
    answer = guard.answer(request(place, statement))
    assert answer.get("results", answer) == [{"columns": answer["results"][0]["columns"], "rows": rows, "more": False}]


TABLES = st.sampled_from(
    ["sales", "hidden", "main.hidden", "sqlite_master", "pragma_table_list", "json_each('[1]')", "dbstat", "a", '"a b"']
)
TERMS = st.sampled_from(
    ["*", "region", "amount", "word", "1", "'x'", "null", "rowid", "sql", "count(*)", "hidden.word", "x'00'", "?", ":a"]
)
CALLS = st.sampled_from(
    ["upper", "median", "hex", "load_extension", "readfile", "writefile", "quantile", "printf", "randomblob", "fts5"]
)
FORMS = st.sampled_from(
    [
        "select {term} from {table}",
        "select {call}({term}) from {table}",
        "select {term} from {table} where {term} in (select {term} from {table})",
        "with a as (select {term} from {table}) select {term} from a",
        "with a as (select {term} from {table}) {write}",
        "select {term} from {table}; {write}",
        "select {term} from {table} union all select {term} from {table}",
        "select ({write})",
        "{write}; select {term} from {table}",
        "/* */ {write}",
        "explain {write}",
        "select {term} from {table} order by {call}({term}) limit {term}",
        "values ({term}), ({call}({term}))",
        "select {term} from {table} as {table} join {table} using ({term})",
    ]
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """A statement of several kinds at once, with a few of its characters changed."""
    text = draw(FORMS)
    for hole, fill in {"term": TERMS, "table": TABLES, "call": CALLS, "write": st.sampled_from(WRITES)}.items():
        while f"{{{hole}}}" in text:
            text = text.replace(f"{{{hole}}}", draw(fill), 1)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        put = draw(
            st.sampled_from([";", "'", '"', "--", "/*", "*/", "(", ")", " ", "\0", "\n", ",", "hidden", "é", "\ud800"])
        )
        text = text[:at] + put + text[at + draw(st.integers(0, 2)) :]
    return text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statements())
def test_no_statement_writes_anything_or_reads_what_is_hidden(place: Path, statement: str) -> None:
    before = state(place)
    answer = guard.answer(request(place, statement))
    assert CANARY not in str(answer)
    assert "CREATE TABLE" not in str(answer).upper().replace(statement.upper(), "")
    assert state(place) == before


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60).flatmap(lambda text: st.sampled_from([text, f"select {text}", f"select 1 from {text}"])))
def test_any_text_is_answered_or_refused_in_words(place: Path, statement: str) -> None:
    answer = guard.answer(request(place, statement))
    assert answer.get("error") or len(answer["results"]) == 1


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "with recursive a(n) as (select 1 union all select n + 1 from a) select count(*) from a",
            "longer than 1 second",
        ),
        (
            "with recursive a(n) as (select 1 union all select n + 1 from a) "
            "select printf('%900000d', n) b from a order by b",
            "too much memory",
        ),
        ("select replace(printf('%7000000d', 1), ' ', printf('%7000000d', 1))", "too big"),
        ("select group_concat(printf('%4000000d', 1)) from sales", "too big"),
        (f"select {'(' * 300}1{')' * 300}", "depth|overflow|too large"),
        (" union all ".join(["select 1"] * 60), "too many terms"),
        (f"select '{'a' * 20_001}'", "too large|too big"),
        (f"select 'a' like '{'%' * 300}'", "too complex"),
        ("select ?", "variable|binding"),
    ],
)
def test_what_takes_too_much_is_refused(place: Path, statement: str, problem: str) -> None:
    with pytest.raises(QueryRefused, match=problem):
        ask(place / "tables.db", ["sales"], [statement], BRIEF)


def test_a_long_statement_is_ended_by_the_guard_itself(place: Path) -> None:
    long = "with recursive a(n) as (select 1 union all select n + 1 from a limit 30000000) select max(n) from a"
    assert guard.answer(request(place, long)) == {"error": "it took longer than 0.3 seconds"}


def test_rows_and_characters_beyond_the_limit_are_cut_and_said_to_be(place: Path) -> None:
    endless = "with recursive a(n) as (select 1 union all select n + 1 from a) select n, 'abcdefgh' from a"
    (few,) = ask(place / "tables.db", [], [endless], QueryLimits(rows=7))
    assert (len(few.rows), few.more) == (7, True)
    (short,) = ask(place / "tables.db", [], [endless], QueryLimits(rows=1000, characters=95))
    assert (len(short.rows), short.more) == (10, True)
    (whole,) = ask(place / "tables.db", ["sales"], ["select region from sales"], QueryLimits(rows=3))
    assert (len(whole.rows), whole.more) == (3, False)


@pytest.mark.skipif(os.name != "posix", reason="needs the limits that POSIX gives processes")
def test_the_process_that_answers_can_write_no_file(place: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import runpy, sys\n"
        "runpy.run_path(sys.argv[1])['main']()\n"
        "try:\n    open(sys.argv[2], 'wb', buffering=0).write(b'a')\n"
        "except OSError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), guard.__file__, str(tmp_path / "new.txt")],
        input=json.dumps({**request(place, "select 1"), "memory_mb": 64}),
        capture_output=True,
        text=True,
        env={},
        check=True,
    )
    assert '"rows": [[1]]' in done.stdout
    assert "File too large" in done.stdout


MANY = "with recursive a(n) as (select 1 union all select n + 1 from a limit 10000000)"
LARGE = {
    "groups": f"{MANY} select n, count(*) from a group by n limit 1 offset 9999999",
    "an aggregate of ours": f"{MANY} select median(n) from a",
    "several of ours": f"{MANY} select quantile(n, 0.5), correlation(n, n), median(n) from a",
    "groups of ours": f"{MANY} select n % 7, median(n) from a group by n % 7",
    "a window": f"{MANY} select max(s) from (select sum(n) over (order by -n) s from a)",
    "a recursion of long texts": "with recursive a(n, s) as (select 1, '' union all "
    "select n + 1, printf('%900000d', n) from a limit 999) select count(*) from a, a as b where a.n < b.n",
    "a long list": f"{MANY} select json_group_array(n) from (select n from a order by -n)",
    "many columns": f"select {', '.join(['printf(chr, 1)'] * 90)} from (select '%7000000d' as chr)",
}
MEASURING = """
import re, runpy, sys
runpy.run_path(sys.argv[1])["main"]()
print()
print(re.search("VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of memory that hold")
@pytest.mark.parametrize("statement", LARGE.values(), ids=LARGE)
def test_the_process_that_answers_never_has_more_memory_than_it_is_said_to(place: Path, statement: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURING, guard.__file__],
        input=json.dumps({**request(place, statement), "seconds": 60, "memory_mb": 30}),
        capture_output=True,
        text=True,
        env={},
        check=True,
    )
    answer, most = done.stdout.splitlines()
    assert "too much memory" in json.loads(answer)["error"]
    assert int(most) < (30 + 25) * 1024  # of which Python itself has 13


def test_where_the_system_bounds_no_process_sqlite_itself_has_a_limit(place: Path) -> None:
    without = "import runpy, sys; sys.modules['resource'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    statement = (
        "with recursive a(n) as (select 1 union all select n + 1 from a where n < 100) "
        "select printf('%900000d', n) b from a order by b"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", without, guard.__file__],
        input=json.dumps({**request(place, statement), "seconds": 60, "memory_mb": 30}),
        capture_output=True,
        text=True,
        env={},
        check=True,
    )
    assert "too much memory" in json.loads(done.stdout)["error"]


def test_a_refusal_names_the_tables_and_what_comes_close(sales: Tables) -> None:
    with pytest.raises(
        QueryRefused, match=r"no such column: amont\. Did you mean amount .*\? Tables: sales\(region, month"
    ):
        sales.query("select amont from sales")
    with pytest.raises(QueryRefused, match=r"no such table: sale\. Did you mean sales\?"):
        sales.query("select 1 from sale")


def test_what_the_store_keeps_about_files_cannot_be_asked(sales: Tables) -> None:
    assert sales.query("select count(*) from sales").rows == ((4,),)
    for own in ("signoff_files", "signoff_tables"):
        with pytest.raises(QueryRefused):
            sales.query(f"select * from {own}")
