"""Files of every kind become tables whose names and types SQL can be asked with."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import warm
from hypothesis import HealthCheck, given, settings, strategies as st
from openpyxl import Workbook

from signoff.errors import ForeignDatabase, SourcesMissing, UnknownTable
from signoff.installation import extra_command
from signoff.tools.analysis.columns import choose_names
from signoff.tools.analysis.tables import LoadLimits, Tables, has_tables
from signoff.tools.search.folder import Skipped

ASKS = """
import sys
from signoff.tools.analysis.tables import Tables
tables = Tables.open(sys.argv[1])
print(sum(tables.query(f"select count(*) from {name}").rows[0][0] for name in "abc"))
"""


def table(folder: Path, name: str, raw: str | bytes, **limits: Any) -> Tables:
    """The tables of a folder with this one file."""
    (folder / name).write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return Tables.open(folder, load=LoadLimits(**limits))


def types(tables: Tables, name: str) -> dict[str, str]:
    return {column.name: column.type for column in tables.table(name).columns}


def rows(tables: Tables, name: str) -> list[tuple[Any, ...]]:
    return list(tables.query(f"select * from {name}").rows)


def workbook(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    book = Workbook()
    for at, (title, cells) in enumerate(sheets):
        sheet = book.active if at == 0 else book.create_sheet()
        assert sheet is not None
        sheet.title = title
        for row in cells:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "expected", "first"),
    [
        ("a,b\n1,x\n", {"a": "integer", "b": "text"}, (1, "x")),
        ("\ufeffa;b\n1,5;2\n", {"a": "text", "b": "integer"}, ("1,5", 2)),
        ("a\tb\n1\t2.5\n", {"a": "integer", "b": "float"}, (1, 2.5)),
        ("zip,n\n01067,1\n", {"zip": "text", "n": "integer"}, ("01067", 1)),
        ("n,code\nNA,NA\n1,DE\n", {"n": "integer", "code": "text"}, (None, "NA")),
        ("n,t\n1,1\n2.5,x\n", {"n": "float", "t": "text"}, (1.0, "1")),
        ("when,n\n2024-05-01,1e3\n", {"when_": "text", "n": "float"}, ("2024-05-01", 1000.0)),
        ("n,m\n12345678901234567890,1e999\n", {"n": "float", "m": "text"}, (12345678901234567890.0, "1e999")),
        ("country,2019,2020\nDE,5,6\n", {"country": "text", "_2019": "integer", "_2020": "integer"}, ("DE", 5, 6)),
        ("1,2\n3,4\n", {"column_1": "integer", "column_2": "integer"}, (1, 2)),
        ("a,b\n1\n2,3,4\n", {"a": "integer", "b": "integer", "column_3": "integer"}, (1, None, None)),
        ('a,b\n"x\ny","1"\n', {"a": "text", "b": "integer"}, ("x\ny", 1)),
        ("Prices of 2024,,\n,,\nname,kind,n\nx,y,1\n", {"name": "text", "kind": "text", "n": "integer"}, ("x", "y", 1)),
        ("a,,b\n1,,2\n", {"a": "integer", "b": "integer"}, (1, 2)),
    ],
)
def test_csv_is_read_as_it_was_meant(folder: Path, text: str, expected: dict[str, str], first: tuple[Any, ...]) -> None:
    tables = table(folder, "t.csv", text)
    assert types(tables, "t") == expected
    assert rows(tables, "t")[0] == first


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_csv_is_read_in_its_encoding(folder: Path, encoding: str) -> None:
    tables = table(folder, "t.csv", "Größe,Straße\n1,Süd\n".encode(encoding))
    assert rows(tables, "t") == [(1, "Süd")]
    assert list(types(tables, "t")) == ["Größe", "Straße"]


def test_json_gives_a_table_for_each_list_of_records(folder: Path) -> None:
    value = {
        "about": "x",
        "people": [{"id": 1, "in": {"a": 2}}, {"id": 2, "f": 1.5, "b": True}],
        "codes": [{"c": "007"}],
    }
    tables = table(folder, "all.json", json.dumps(value))
    assert rows(tables, "all_people") == [(1, '{"a": 2}', None, None), (2, None, 1.5, 1)]
    assert types(tables, "all_people") == {"id": "integer", "in_": "text", "f": "float", "b": "integer"}
    assert rows(tables, "all_codes") == [("007",)]
    assert tables.query("select in_ ->> '$.a' from all_people where id = 1").rows == ((2,),)


def test_json_lines_give_one_table_whatever_stands_on_them(folder: Path) -> None:
    tables = table(folder, "t.jsonl", '{"a": 1, "b": NaN}\n\n{"a": 2.5}\n["x"]\n{"a": 18446744073709551616}\n')
    assert rows(tables, "t") == [
        ("1", None, None),
        ("2.5", None, None),
        (None, None, '["x"]'),
        ("18446744073709551616", None, None),
    ]


def test_each_sheet_of_a_workbook_is_a_table(folder: Path) -> None:
    raw = workbook(
        (
            "First",
            [
                ["Figures of May"],
                [],
                ["name", "when", "n"],
                ["a", datetime(2024, 5, 1), 1],
                ["b", datetime(2024, 5, 1, 6), 2.5],
            ],
        ),
        ("Second one", [["n", "n", None], [1, "#N/A", None], [2, True, "x"]]),
        ("Empty", []),
    )
    tables = table(folder, "book.xlsx", raw)
    assert [(found.name, found.part) for found in tables.tables()] == [
        ("book_First", "First"),
        ("book_Second_one", "Second one"),
    ]
    assert rows(tables, "book_First") == [("a", "2024-05-01", 1.0), ("b", "2024-05-01 06:00:00", 2.5)]
    assert rows(tables, "book_Second_one") == [(1, None, None), (2, 1, "x")]


def test_parquet_keeps_its_types(folder: Path) -> None:
    columns = {
        "n": [1, None],
        "price": [Decimal("1.10"), Decimal("2.30")],
        "exact": [Decimal("0.10000000000000000555"), None],
        "at": [datetime(2024, 5, 1, 6), None],
        "day": [date(2024, 5, 1), None],
        "span": [timedelta(minutes=2), None],
        "raw": [b"\x00\xff", None],
        "list": [[1, 2], None],
        "odd": [float("nan"), float("inf")],
    }
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    tables = table(folder, "t.parquet", out.getvalue())
    first, second = rows(tables, "t")
    assert first == (
        1,
        1.1,
        "0.10000000000000000555",
        "2024-05-01 06:00:00",
        "2024-05-01",
        120.0,
        "x'00ff'",
        "[1, 2]",
        None,
    )
    assert second == (None, 2.3, *[None] * 7)


def test_titles_become_names_that_sql_takes_without_quotes(folder: Path) -> None:
    tables = table(folder, "select.csv", "Umsatz (EUR);Umsatz (EUR);order;UMSATZ_EUR;;rowid;é\n1;2;3;4;5;6;7\n")
    columns = tables.table("select_").columns
    assert [column.name for column in columns] == [
        "Umsatz_EUR", "Umsatz_EUR_2", "order_", "UMSATZ_EUR_3", "column_5", "rowid", "é"
    ]  # fmt: skip
    assert columns[0].title == "Umsatz (EUR)"
    assert tables.query(f"select {', '.join(column.name for column in columns)} from select_").rows == (
        tuple(range(1, 8)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(max_size=20)
        | st.sampled_from(["table", "select", "rowid", "sqlite_a", "signoff_files", "1", "a", "A"]),
        max_size=6,
    )
)
def test_any_titles_become_names_that_are_safe_and_unique(titles: list[str]) -> None:
    names = choose_names(titles, "column")
    connection = sqlite3.connect(":memory:")
    for name in names:
        connection.execute(f"create table {name} ({name} text)")
    if names:
        connection.execute(f"create table every_one ({', '.join(names)})")
    connection.close()
    assert len({name.lower() for name in names}) == len(titles)


CELLS = st.none() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12) | st.booleans()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=8), CELLS, min_size=1, max_size=3), min_size=1, max_size=5))
def test_any_records_are_loaded_with_as_many_rows(folder: Path, records: list[dict[str, Any]]) -> None:
    tables = table(folder, "t.json", json.dumps(records))
    tables.refresh()
    found = tables.tables()
    if found:
        assert tables.query("select count(*) from t").rows == ((len(records),),)
        assert found[0].rows == len(records)
    else:
        assert tables.skipped() == [Skipped("t.json", "no rows in it")]


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"only,names\n", "no rows in it"),
        ("a.csv", b"\x00\x01\x02\x03" * 50, "not a text file"),
        ("a.csv", b'a,b\n"' + b"x" * 140_000, "cannot be told apart"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 40_000, "nested too deeply"),
        ("a.json", b'{"a": 1, "b": [1]}', "no list of records"),
        ("a.json", json.dumps([{"a": "x" * 100_001}]).encode(), "a cell of 100,001 characters"),
        ("a.json", json.dumps([{str(n): n for n in range(21)}]).encode(), "21 columns"),
        ("a.csv", b"n\n" + b"1\n" * 101, "more than 100 rows"),
        ("a.csv", b"n\n" + b"1" * 100_000, "more than the limit"),
        ("a.xlsx", b"PK\x03\x04nonsense", "damaged"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 100, "locked or old"),
        ("a.parquet", b"PAR1nonsense", "damaged"),
    ],
)
def test_a_file_that_gives_no_table_is_named_with_the_reason(folder: Path, name: str, raw: bytes, reason: str) -> None:
    tables = table(folder, name, raw, rows=100, columns=20, file_mb=0.15 if b'"' in raw else 0.05)
    assert tables.tables() == []
    (skipped,) = tables.skipped()
    assert skipped.path == name
    assert reason in skipped.reason


def test_a_workbook_that_unpacks_to_too_much_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/sheet.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(401):
            part.write(b"\0" * 1_000_000)
    tables = table(folder, "bomb.xlsx", out.getvalue())
    assert tables.tables() == []
    assert "401 MB once unpacked" in tables.skipped()[0].reason


def test_a_sheet_whose_rows_have_impossible_numbers_is_not_gone_through(folder: Path) -> None:
    book, raw, out = Workbook(), io.BytesIO(), io.BytesIO()
    book.active.append(["a", "b"])
    book.active.append([1, 2])
    book.save(raw)
    with zipfile.ZipFile(raw) as archive, zipfile.ZipFile(out, "w") as changed:
        for name in archive.namelist():
            part = archive.read(name)
            changed.writestr(name, part.replace(b'<row r="2"', b'<row r="4000000000"').replace(b'r="A2"', b'r="A9"'))
    tables = table(folder, "far.xlsx", out.getvalue())
    assert tables.skipped() == [Skipped("far.xlsx", "a sheet with more than 1,048,576 rows")]


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


def with_sheet(rows: str) -> bytes:
    """A workbook with these rows as they stand in its file."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(("One", [["a"], [1]])))) as archive,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed,
    ):
        for name in archive.namelist():
            is_sheet = name == "xl/worksheets/sheet1.xml"
            changed.writestr(name, SHEET.format(rows).encode() if is_sheet else archive.read(name))
    return out.getvalue()


def expanding() -> bytes:
    """A Parquet file of 100 kB that would be 450 GB."""
    out = io.BytesIO()
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100_000, pyarrow.int32()), ["x" * 90_000])
    pyarrow.parquet.write_table(pyarrow.table({f"c{number}": same for number in range(50)}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.xlsx", lambda: with_sheet('<row><c r="XFD1"/></row>' * 1_000_000), "more than 100 times its size"),
        (
            "a.xlsx",
            lambda: with_sheet("".join(f'<row ht="{n * n % 999_983}"><c r="XFD1"/></row>' for n in range(3_000))),
            "more than 30,000,000 cells",
        ),
        ("a.xlsx", lambda: with_sheet("<row>" + "<c/>" * 6_000_000 + "</row>"), "more than 100 times its size"),
        ("a.parquet", expanding, "more than 2,000 MB of memory"),
        ("a.json", lambda: json.dumps({f"k{n}": [{"a": 1}] for n in range(500)}).encode(), "500 tables"),
        ("a.csv", lambda: b"," * 2_000_000 + b"1\n1\n", "2,000,001 columns"),
    ],
)
def test_a_small_file_that_would_take_much_is_refused_and_the_rest_is_read(
    folder: Path, name: str, make: Callable[[], bytes], reason: str
) -> None:
    (folder / "good.csv").write_text("n\n1\n")
    tables = table(folder, name, make())
    assert [found.name for found in tables.tables()] == ["good"]
    (skipped,) = tables.skipped()
    assert skipped.path == name
    assert reason in skipped.reason


def test_a_workbook_that_is_packed_to_very_little_is_let_in_by_whoever_knows_it(folder: Path) -> None:
    raw = with_sheet(" " * 25_000_000 + "<row><c><v>1</v></c></row>" * 10)
    (skipped,) = table(folder, "a.xlsx", raw).skipped()
    assert "25 MB once unpacked is more than 100 times its size" in skipped.reason
    assert [found.rows for found in table(folder, "a.xlsx", raw, times=5_000).tables()] == [10]


def test_a_file_that_takes_too_long_is_refused_until_it_may_take_longer(folder: Path) -> None:
    raw = with_sheet("<row><c><v>1</v></c></row>" * 20_000)
    assert table(folder, "a.xlsx", raw, seconds=0.01).tables() == []
    assert "processor time" in Tables.open(folder, load=LoadLimits(seconds=0.01)).skipped()[0].reason
    assert [found.rows for found in Tables.open(folder).tables()] == [20_000]


@pytest.mark.parametrize(("name", "package"), [("a.xlsx", "openpyxl"), ("a.parquet", "pyarrow")])
def test_a_missing_package_is_named_for_each_file_that_needs_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (folder / "b.csv").write_text("a\n1\n")
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), out)
    raw = workbook(("One", [["a"], [1]])) if package == "openpyxl" else out.getvalue()
    with monkeypatch.context() as without:
        (tmp_path / f"{package}.py").write_text("raise ImportError")
        without.syspath_prepend(tmp_path)  # where the process that reads looks, too
        tables = table(folder, name, raw)
        assert [found.name for found in tables.tables()] == ["b"]
        assert extra_command("analysis") in tables.skipped()[0].reason
    assert [found.name for found in tables.refresh()] == ["a", "b"]


def test_tables_follow_their_files(folder: Path) -> None:
    (folder / "a.csv").write_text("n\n1\n")
    (folder / "b.csv").write_text("n\n1\n2\n")
    tables = Tables.open(folder)
    assert [(found.name, found.rows) for found in tables.tables()] == [("a", 1), ("b", 2)]
    (folder / "a.csv").write_text("m\n5\n6\n7\n")
    (folder / "c.csv").write_text("")
    assert [(found.name, found.rows) for found in tables.refresh()] == [("a", 3), ("b", 2)]
    assert rows(tables, "a") == [(5,), (6,), (7,)]
    (folder / "b.csv").unlink()
    (folder / "a.csv").write_text("broken")
    assert tables.refresh() == []
    assert [skip.path for skip in tables.skipped()] == ["a.csv", "c.csv"]
    (folder / "c.csv").unlink()
    (folder / "a.csv").write_text("n\n9\n")
    assert [(found.name, found.rows) for found in Tables.open(folder).refresh()] == [("a", 1)]
    assert tables.skipped() == []


def test_what_did_not_change_is_not_read_again(folder: Path) -> None:
    (folder / "b.csv").write_text("")
    tables = table(folder, "a.csv", "n\n1\n")
    tables.refresh()
    before = tables.database.read_bytes()
    (folder / "a.csv").touch()
    Tables.open(folder).refresh()
    assert tables.database.read_bytes() == before
    (folder / "a.csv").write_text("n\n2\n")
    tables.refresh()
    assert tables.database.read_bytes() != before


def test_several_may_load_and_ask_at_once(folder: Path) -> None:
    for name in ("a", "b", "c"):
        (folder / f"{name}.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(500)))
    programs = [
        warm.start(
            [sys.executable, "-c", ASKS, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    shared = Tables.open(folder)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: shared.query(f"select count(*) from {name}").rows, "abcabc"))
    assert answers == [((500,),)] * 6
    assert [program.communicate()[0] for program in programs] == ["1500\n"] * 3


def test_a_file_that_was_too_large_is_read_under_larger_limits(folder: Path) -> None:
    assert table(folder, "a.csv", "n\n1\n2\n", rows=1).tables() == []
    assert [found.rows for found in Tables.open(folder).tables()] == [2]


def test_the_files_named_are_loaded_and_others_are_not(folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("a.csv", "sub/b.csv", "c.csv", "d.md"):
        (folder / name).write_text("n\n1\n")
    tables = Tables.open([folder / "a.csv", folder / "sub" / "b.csv", folder / "d.md"])
    assert [found.source for found in tables.tables()] == ["a.csv", "sub/b.csv"]
    assert [found.name for found in tables.tables()] == ["a", "sub_b"]
    assert [skip.path for skip in tables.skipped()] == ["d.md"]
    assert [found.name for found in Tables.open(folder / "c.csv").tables()] == ["c"]
    assert has_tables(folder)
    assert not has_tables(folder.parent / "home")


def test_two_files_of_one_name_are_two_tables(folder: Path) -> None:
    (folder / "a.json").write_text('[{"n": 2}]')
    tables = table(folder, "a.csv", "n\n1\n")
    assert {found.name: found.file for found in tables.tables()} == {"a": "a.csv", "a_2": "a.json"}


def test_there_is_room_for_so_much_only(folder: Path) -> None:
    big = [{"text": "x" * 50_000} for _ in range(40)]
    tables = table(folder, "big.json", json.dumps(big), all_mb=1)
    (folder / "small.csv").write_text("n\n1\n")
    assert [found.name for found in tables.tables()] == ["small"]
    assert "no room" in tables.skipped()[0].reason


def test_a_folder_that_is_not_there_and_a_table_that_is_not_there_are_named(sales: Tables, tmp_path: Path) -> None:
    with pytest.raises(SourcesMissing):
        Tables.open(tmp_path / "nowhere")
    with pytest.raises(UnknownTable, match=r"No table is called 'sale'\. There are: sales"):
        sales.table("sale")
    assert sales.table(" SALES ").rows == 4


def test_a_damaged_file_is_made_anew_and_a_foreign_one_is_left(sales: Tables) -> None:
    sales.refresh()
    raw = sales.database.read_bytes()
    sales.database.write_bytes(raw[:100] + b"\xff" * (len(raw) - 100))
    assert [found.name for found in sales.refresh()] == ["sales"]
    sales.database.unlink()
    other = sqlite3.connect(sales.database)
    other.execute("create table theirs (a)")
    other.commit()
    other.close()
    with pytest.raises(ForeignDatabase):
        sales.refresh()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom modes of files bind")
def test_a_file_without_permission_is_named(folder: Path) -> None:
    tables = table(folder, "a.csv", "n\n1\n")
    (folder / "a.csv").chmod(0)
    assert tables.tables() == []
    assert "permission" in tables.skipped()[0].reason
