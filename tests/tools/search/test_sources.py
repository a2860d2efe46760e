"""A folder and its index, used by one process."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from signoff.errors import (
    DatabaseUnusable,
    ForeignDatabase,
    MissingExtra,
    SourcesEmpty,
    SourcesMissing,
    UnknownSource,
)
from signoff.installation import extra_command
from signoff.tools.search.passage import may_answer
from signoff.tools.search.ranking import words_of
from signoff.tools.search.sources import IndexProgress, Skipped, Sources

Opened = Callable[..., Sources]

BIRDS = "# Birds\n\nHerons wade.\n\n## Food\n\nThey were eating frogs and fish.\n"


@pytest.fixture
def birds(folder: Path, opened: Opened) -> Sources:
    """Three documents, indexed."""
    (folder / "birds.md").write_text(BIRDS)
    (folder / "deep").mkdir()
    (folder / "deep" / "fish.txt").write_text("Fish swim in the café.\n\nA fish is eaten.")
    (folder / "rocks.txt").write_text("Rocks lie still.")
    sources = opened(folder)
    sources.refresh()
    return sources


def test_search_finds_any_of_the_words_in_any_form_and_the_best_first(birds: Sources) -> None:
    found = birds.search("Who EATS a heron, or cafe?")
    assert {passage.source for passage in found} == {"birds.md", "deep/fish.txt"}
    assert [passage.rank for passage in found] == sorted((passage.rank for passage in found), reverse=True)
    assert all(passage.rank > 0 for passage in found)


def test_a_passage_says_where_it_stands(birds: Sources) -> None:
    (passage,) = birds.search("frogs")
    assert (passage.source, passage.title, passage.heading, passage.kind) == ("birds.md", "Birds", "Food", "prose")
    text = birds.text("birds.md")
    assert text[passage.start : passage.start + len(passage.text)] == passage.text == "They were eating frogs and fish."


def test_search_finds_headings_and_titles(birds: Sources) -> None:
    assert birds.search("food")[0].heading == "Food"
    assert {passage.source for passage in birds.search("birds")} == {"birds.md"}


def test_search_returns_no_more_than_asked(birds: Sources) -> None:
    assert len(birds.search("fish", limit=1)) == 1
    assert birds.search("fish", limit=0) == []
    assert birds.search("fish", limit=-1) == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        '"',
        '"fish',
        "fish AND",
        "NEAR(fish, 2)",
        "fish*",
        "-fish",
        "text:fish",
        "\0",
        "🐟",
        "(((",
        "' or 1=1 --",
        "^",
    ],
)
def test_no_query_is_a_syntax_error(birds: Sources, query: str) -> None:
    assert len(birds.search(query)) == (2 if "fish" in query else 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(query=st.text(alphabet=st.characters()))
def test_no_query_raises(birds: Sources, query: str) -> None:
    birds.search(query)
    birds.document_frequency([query])


def test_a_very_long_query_is_answered(birds: Sources) -> None:
    assert birds.search("fish " * 20_000)
    assert birds.search(" ".join(f"word{number}" for number in range(20_000))) == []


def test_letters_beyond_ascii_are_found_as_they_are_written(folder: Path, opened: Opened) -> None:
    (folder / "a.txt").write_text("Die Straße nach Łódź; Ёлка; naïve 東京.", encoding="utf-8")
    sources = opened(folder)
    sources.refresh()
    for word in ("straße", "STRAßE", "łódź", "Ёлка", "naive", "NAÏVE", "東京"):
        assert len(sources.search(word)) == 1, word


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("东京的船票多少钱", "tokyo.txt"),
        ("船票", "tokyo.txt"),
        ("ตั๋วเรือ", "thai.txt"),
        ("선착장", "korea.txt"),
        ("what is the max_speed_kn", "speed_limits/harbour-basin.csv"),
        ("harbour basin", "speed_limits/harbour-basin.csv"),
        ("Fährpläne", "german.txt"),
    ],
)
def test_scripts_without_spaces_names_of_programs_and_names_of_files_are_found(
    asked: str, found: str, folder: Path, opened: Opened
) -> None:
    (folder / "tokyo.txt").write_text("在东京，往返船票售价两百元。", encoding="utf-8")
    (folder / "thai.txt").write_text("ราคาตั๋วเรือสองร้อยบาท", encoding="utf-8")
    (folder / "korea.txt").write_text("여객선은 선착장에서 떠난다", encoding="utf-8")
    (folder / "german.txt").write_text("Der Fährplan hängt aus.", encoding="utf-8")
    (folder / "speed_limits").mkdir()
    (folder / "speed_limits" / "harbour-basin.csv").write_text("place,max_speed_kn\nquay,3\n")
    (folder / "other.txt").write_text("The speed of the wind is at its max. 一二三", encoding="utf-8")
    sources = opened(folder)
    sources.refresh()
    assert [passage.source for passage in sources.search(asked)] == [found]


def test_stop_words_are_left_out_and_frequent_words_are_not(folder: Path, opened: Opened) -> None:
    for number in range(30):
        (folder / f"{number}.txt").write_text(f"The ferry has a rule with the number {number}.")
    (folder / "what.txt").write_text("What is the how of which?")
    sources = opened(folder)
    sources.refresh()
    assert {passage.source for passage in sources.search("What is the ferry?")} == {f"{n}.txt" for n in range(30)}
    assert sources.search("What is the ferry's rule with number 7?")[0].source == "7.txt"
    assert sources.search("which of what")[0].source == "what.txt"


def test_a_passage_says_how_much_of_the_question_it_has_and_rare_words_weigh_more(birds: Sources) -> None:
    asked = "Do fish swim in the café?"
    assert birds.search(asked)[0].share == 1.0
    assert may_answer(birds.search(asked))
    rare, common = (birds.search(f"{word} zeppelin")[0].share for word in ("rocks", "fish"))
    assert 0.5 == rare > common > 0
    assert not may_answer(birds.search("zeppelin airport timetable and a rock"))
    assert may_answer([]) is False


def test_document_frequency_counts_passages_by_stem(birds: Sources) -> None:
    words = ["eats", "frog", "fish", "whale", "", "well-known", "swim in", "birds", "deep"]
    assert birds.document_frequency(words) == {
        "eats": 1,
        "frog": 1,
        "fish": 2,
        "whale": 0,
        "": 0,
        "well-known": 0,
        "swim in": 1,
        "birds": 2,
        "deep": 1,
    }


def test_document_frequency_follows_what_another_connection_wrote(birds: Sources, opened: Opened) -> None:
    assert birds.document_frequency(["whale"]) == {"whale": 0}
    (birds.folder / "whale.txt").write_text("A whale.")
    opened(birds.folder).refresh()
    assert birds.document_frequency(["whale"]) == {"whale": 1}
    assert birds.documents == 4


def test_an_unknown_document_is_an_error_that_names_it(birds: Sources) -> None:
    for ask in (birds.text, birds.passages_of):
        with pytest.raises(UnknownSource, match=r"No document 'nope.md'"):
            ask("nope.md")


def test_a_refresh_tells_how_far_it_is(folder: Path, opened: Opened) -> None:
    for name in ("b.txt", "a.txt", "c.png"):
        (folder / name).write_text("text")
    told: list[IndexProgress] = []
    opened(folder).refresh(told.append)
    assert told == [IndexProgress(at, 3, name) for at, name in enumerate(("a.txt", "b.txt", "c.png"), 1)]


def test_only_what_changed_is_indexed_again(birds: Sources) -> None:
    told = birds.refresh()
    assert (told.added, told.changed, told.removed, told.unchanged, told.documents) == (0, 0, 0, 3, 3)
    kept = birds.passages_of("rocks.txt")
    (birds.folder / "birds.md").write_text("Owls hoot.")
    os.utime(birds.folder / "rocks.txt", (1, 1))
    (birds.folder / "deep" / "fish.txt").unlink()
    (birds.folder / "new.txt").write_text("New.")
    told = birds.refresh()
    assert (told.added, told.changed, told.removed, told.unchanged, told.documents) == (1, 1, 1, 1, 3)
    assert birds.search("heron") == []
    assert birds.search("fish") == []
    assert [passage.source for passage in birds.search("owls new")] == ["new.txt", "birds.md"]
    assert birds.passages_of("rocks.txt") == kept
    assert birds.passages == 3


def test_a_changed_file_of_the_same_size_and_time_is_indexed_again(birds: Sources) -> None:
    file = birds.folder / "rocks.txt"
    before = file.stat()
    file.write_text("Rocks sit still."[: before.st_size])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert birds.refresh().changed == 1
    assert birds.search("sit")


def test_the_index_is_there_when_the_folder_is_opened_again(birds: Sources, opened: Opened) -> None:
    birds.close()
    again = opened(birds.folder)
    assert again.documents == 3
    assert again.search("frogs")
    assert Path(".signoff", "sources").is_dir()
    assert len(list(Path(".signoff", "sources").glob("documents-*.db"))) == 1


def test_folders_of_one_name_have_different_indexes(tmp_path: Path, opened: Opened) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "it.txt").write_text(f"in {parent}")
        opened(tmp_path / parent / "docs", home=tmp_path / "home").refresh()
    assert len(list((tmp_path / "home" / "sources").glob("docs-*.db"))) == 2


def test_a_missing_folder_is_an_error_and_so_is_a_file(tmp_path: Path, folder: Path, opened: Opened) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(SourcesMissing, match="Give an existing folder"):
            opened(place)
    sources = opened(folder)
    folder.rmdir()
    with pytest.raises(SourcesMissing):
        sources.refresh()


def test_a_folder_with_nothing_to_read_is_an_error_that_says_so(folder: Path, opened: Opened) -> None:
    with pytest.raises(SourcesEmpty, match="it is empty"):
        opened(folder).refresh()
    (folder / "a.png").write_bytes(b"x")
    with pytest.raises(SourcesEmpty, match=r"none of its 1 files can be read"):
        opened(folder).refresh()


@pytest.mark.parametrize(
    ("name", "package", "raw"),
    [("a.pdf", "pypdf", b"%PDF-1.4"), ("a.docx", "docx", b"PK"), ("a.rst", "docutils", b"Rails\n=====\n\nSteel.\n")],
)
def test_what_needs_an_extra_is_skipped_with_the_command_until_the_extra_is_there(
    birds: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, raw: bytes
) -> None:
    (birds.folder / name).write_bytes(raw)
    with monkeypatch.context() as without:
        (tmp_path / f"{package}.py").write_text("raise ImportError")
        without.syspath_prepend(tmp_path)  # where the process that reads looks, too
        told = birds.refresh()
        assert told.documents == 3
        assert [(skip.path, extra_command("documents") in skip.reason) for skip in told.skipped] == [(name, True)]
    again = birds.refresh()
    assert again.documents == (4 if name == "a.rst" else 3)
    assert not any("Run: " in skip.reason for skip in again.skipped)


def test_a_folder_of_nothing_but_what_needs_an_extra_is_an_error_with_the_command(
    folder: Path, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "pypdf.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match=r"Reading PDF files: .* Run: .*documents"):
        opened(folder).refresh()


def test_what_could_not_be_read_is_remembered_with_the_reason(birds: Sources, opened: Opened) -> None:
    (birds.folder / "bad.pdf").write_bytes(b"%PDF-1.4 nonsense")
    (birds.folder / "empty.md").touch()
    (birds.folder / "large.txt").write_bytes(b"x" * 1_500_001)
    small = opened(birds.folder, max_file_mb=1.5)
    told = small.refresh()
    assert told.documents == 3
    reasons = {skip.path: skip.reason for skip in opened(birds.folder).skipped()}
    assert reasons["bad.pdf"].startswith("a damaged PDF")
    assert reasons["empty.md"] == "empty"
    assert reasons["large.txt"] == "1.5 MB is more than the limit of 1.5 MB"
    assert list(told.skipped) == small.skipped() == [Skipped(path, reasons[path]) for path in sorted(reasons)]
    (birds.folder / "bad.pdf").unlink()
    (birds.folder / "empty.md").write_text("Not any more.")
    assert opened(birds.folder).refresh().skipped == ()


def test_a_file_known_to_be_unreadable_is_not_read_again_until_it_changes(birds: Sources, opened: Opened) -> None:
    (birds.folder / "bad.json").write_text("{")
    birds.refresh()
    (database,) = Path(".signoff", "sources").glob("*.db")
    with sqlite3.connect(database) as other:
        other.execute("update skipped set reason = 'as remembered'")
    other.close()
    assert birds.refresh().skipped == (Skipped("bad.json", "as remembered"),)
    (birds.folder / "bad.json").write_text("{{")
    assert birds.refresh().skipped[0].reason.startswith("not valid JSON")


def test_a_file_that_takes_too_long_is_named_and_the_rest_goes_on(
    birds: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    (birds.folder / "slow.md").write_text("* a\n" * 20_000)
    monkeypatch.setattr("signoff.tools.documents.limited_reader.SECONDS_OF_A_MB", -374.0)
    report = birds.refresh()
    assert [skip.path for skip in report.skipped] == ["slow.md"]
    assert "0 seconds of processor time" in report.skipped[0].reason
    assert report.documents > 0
    monkeypatch.undo()
    assert birds.refresh().skipped == report.skipped  # until it changes
    (birds.folder / "slow.md").write_text("* a\n")
    assert birds.refresh().skipped == ()


def test_a_document_that_becomes_unreadable_leaves_the_index(birds: Sources) -> None:
    (birds.folder / "rocks.txt").write_bytes(b"\0\0")
    told = birds.refresh()
    assert (told.removed, told.documents) == (1, 2)
    assert birds.search("rocks") == []


def test_an_index_of_another_version_is_built_anew(birds: Sources, opened: Opened) -> None:
    (database,) = Path(".signoff", "sources").glob("*.db")
    birds.close()
    with sqlite3.connect(database) as other:
        other.execute("pragma user_version = 999")
        other.execute("drop table skipped")
        other.execute("create table extra (x)")
        other.execute("create view odd as select x from extra")
    other.close()
    again = opened(birds.folder)
    assert again.documents == 0
    told = again.refresh()
    assert (told.added, told.documents) == (3, 3)
    assert again.search("frogs")


def test_a_file_that_is_not_an_index_is_refused_and_left_alone(folder: Path, tmp_path: Path, opened: Opened) -> None:
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("This is a letter, not a database, and longer than one hundred characters so that it counts. " * 3)
    with sqlite3.connect(other) as connection:
        connection.execute("create table letters (x)")
    connection.close()
    before = {path: path.read_bytes() for path in (text, other)}
    for path in before:
        with pytest.raises(ForeignDatabase, match="Nothing was changed"):
            opened(folder, database=path)
        assert path.read_bytes() == before[path]
        assert [p.name for p in tmp_path.glob(f"{path.name}*")] == [path.name]


def test_an_empty_file_becomes_an_index(folder: Path, tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "new.db").touch()
    (folder / "a.txt").write_text("Text.")
    assert opened(folder, database=tmp_path / "new.db").refresh().documents == 1


@pytest.mark.parametrize("place", [100, 4096, 9000, 20_000])
def test_a_damaged_index_is_built_anew(birds: Sources, opened: Opened, place: int) -> None:
    (database,) = Path(".signoff", "sources").glob("*.db")
    birds.close()
    raw = bytearray(database.read_bytes())
    raw[place : place + 4000] = b"\xff" * len(raw[place : place + 4000])
    database.write_bytes(raw)
    again = opened(birds.folder)
    (birds.folder / "birds.md").write_text("Owls hoot.")
    assert again.refresh().documents == 3
    assert [passage.source for passage in again.search("owls")] == ["birds.md"]


def test_a_place_that_cannot_be_written_is_an_error_of_one_line(folder: Path, tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnusable, match=r"not a directory|file exists") as caught:
        opened(folder, database=tmp_path / "file" / "index.db")
    assert "\n" not in str(caught.value)


def test_a_closed_index_says_that_it_is_closed(birds: Sources) -> None:
    birds.close()
    birds.close()
    with pytest.raises(DatabaseUnusable, match="it was closed"):
        birds.search("frogs")


def test_copies_of_a_passage_are_found_once_and_the_rest_is_not_crowded_out(folder: Path, opened: Opened) -> None:
    for number in range(8):
        (folder / f"copy{number}.txt").write_text("The ferry's rule says that the ferry waits.")
    (folder / "other.txt").write_text("On Sundays a ferry leaves at noon, and goes on until it is dark.")
    sources = opened(folder)
    sources.refresh()
    assert [passage.source for passage in sources.search("ferry", limit=3)] == ["copy0.txt", "other.txt"]


def test_words_that_only_ask_are_not_looked_for_unless_there_are_no_others() -> None:
    assert words_of("For how long is somebody elected to lead it?") == ("elected", "lead")
    assert words_of("How old must they still be, and how often may anyone else ask?") == ("must", "ask")
    assert words_of("How is the long line called that an old man drew?") == (
        "long",
        "line",
        "called",
        "old",
        "man",
        "drew",
    )
    assert words_of("Now what?") == ("now", "what")
    assert words_of("How long?") == ("how", "long")


def test_the_text_comes_before_the_right_heading_and_a_name_that_is_title_and_path(
    folder: Path, opened: Opened
) -> None:
    (folder / "storms.md").write_text("# Storms\n\n## Sailing in storms\n\nThe ferry does when it is calm again.\n")
    (folder / "board.md").write_text("# Board\n\nIt decides with the master if the ferry sails in a storm or waits.\n")
    for number in range(9):
        (folder / f"note{number}.md").write_text(f"# Note\n\nThe hens laid {number} eggs.\n")
    sources = opened(folder)
    sources.refresh()
    assert sources.search("Who decides whether the ferry sails in a storm?")[0].source == "board.md"
