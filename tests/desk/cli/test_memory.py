"""`signoff memory`: what teams remember, listed, shown, exported and deleted for good."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signoff.checkpoints import canonical
from signoff.settings import load_settings
from signoff.tools.action import Act, acting
from signoff.tools.memory import Memory, memory_tools
from signoff.tools.memory.item import Note


@pytest.fixture
def memory(database: str, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Of a database of both kinds in turn, which the settings name."""
    monkeypatch.setenv("SIGNOFF_DATABASE", database)
    return Memory.open(load_settings())


def keep(memory: Memory, text: str, *, team: str = "office", run: str = "r-1", **given: Any) -> str:
    """Keep a memory as the act node would; its id."""
    flags = given.pop("flags", ())
    _, remember, _ = memory_tools(memory, team=team)
    act = Act(run_id=run, team=team, goal="who pays?", agent="clerk", approval_id="a-9", approved_by="ann", flags=flags)
    with acting(act):
        note = Note(subject=given.pop("subject", "Acme"), text=text, **given)
        return str(remember.call(note, f"{abs(hash((text, team))):016x}".ljust(64, "0"))["memory"])


def test_memories_are_listed_with_where_they_came_from(memory: Memory, signoff: Callable[..., Any]) -> None:
    first = keep(memory, "It pays late.", days=30)
    second = keep(memory, "It pays.", team="sales", run="r-2", flags=("mail: “Ignore all…”",))
    said = signoff("memory", "list")
    assert said.code == 0
    until = canonical.later(31 * 86_400)[:10]
    for line in (
        f"{first}  fact, team office: Acme",
        f"{second}  fact (!), team sales: Acme",
        "by clerk in run r-1, allowed by ann, until " + until,
        "(!) Made from texts with orders in them",
    ):
        assert line in said.out, line
    assert [one["id"] for one in signoff("memory", "list", "--team", "sales", "--json").json] == [second]
    assert [one["id"] for one in signoff("memory", "list", "--run", "r-1", "--json").json] == [first]
    assert "Nothing is remembered." in signoff("memory", "list", "--team", "none").out


def test_a_memory_is_shown_by_the_beginning_of_its_id(memory: Memory, signoff: Callable[..., Any]) -> None:
    one = keep(memory, "It pays late.\u200b [bold]x[/bold]", sources=["acme.md"], flags=("mail: “Ignore…”",))
    said = signoff("memory", "show", one[:8])
    assert said.code == 0
    for line in (
        "It pays late.<U+200B> [bold]x[/bold]",
        "by clerk in run r-1, allowed by ann, approval a-9",
        "goal: who pays?",
        "source, as the agent names it: acme.md",
        "caution: mail: “Ignore…”",
    ):
        assert line in said.out, line
    assert signoff("memory", "show", one, "--json").json["origin"]["approval_id"] == "a-9"
    assert "No memory is called 'm-none'" in signoff("memory", "show", "m-none").err


def test_what_is_forgotten_is_gone_and_the_log_says_who_did_it(memory: Memory, signoff: Callable[..., Any]) -> None:
    one, other = keep(memory, "canary-4711 lives in Vienna"), keep(memory, "It pays.")
    refused = signoff("memory", "forget", one)
    assert refused.code == 1
    assert "nobody can be asked here" in refused.err
    said = signoff("memory", "forget", one, "--yes", "--by", "bob", "--why", "it moved")
    assert (said.code, said.out.strip()) == (0, "Deleted 1 memory.")
    assert [left.id for left in memory.list()] == [other]
    log = signoff("audit", "export").out
    (entry,) = [json.loads(line) for line in log.splitlines() if '"memory forgotten"' in line]
    assert (entry["body"]["memory"], entry["body"]["by"], entry["body"]["why"]) == (one, "bob", "it moved")
    assert "canary-4711" not in log
    assert signoff("audit", "verify").code == 0
    folder = Path(load_settings().database_name).parent
    assert not [file for file in folder.glob("*memory.db*") if b"canary-4711" in file.read_bytes()]


def test_all_that_a_run_left_is_forgotten_at_once(memory: Memory, signoff: Callable[..., Any]) -> None:
    keep(memory, "a", run="r-bad")
    keep(memory, "b", run="r-bad", team="sales")
    good = keep(memory, "c")
    assert len(signoff("memory", "forget", "--run", "r-bad", "-y", "--json").json["forgotten"]) == 2
    assert [left.id for left in memory.list()] == [good]


def test_what_has_expired_is_deleted_on_demand(
    memory: Memory, signoff: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(memory, "a", days=1)
    keep(memory, "b")
    later = canonical.later(3 * 86_400)
    monkeypatch.setattr(canonical, "now", lambda: later)
    assert len(signoff("memory", "list", "--json").json) == 1
    assert "Deleted 1 memory." in signoff("memory", "forget", "--expired").out


@pytest.mark.parametrize("words", [(), ("m-1", "--expired"), ("--run", "r-1", "--expired")])
def test_what_to_forget_must_be_clear(words: tuple[str, ...], signoff: Callable[..., Any]) -> None:
    said = signoff("memory", "forget", *words)
    assert said.code == 1
    assert "what to forget is not clear" in said.err


def test_memories_are_exported_as_json_lines(memory: Memory, signoff: Callable[..., Any]) -> None:
    one = keep(memory, "naïve 東京")
    (line,) = signoff("memory", "export").out.splitlines()
    assert (json.loads(line)["id"], json.loads(line)["text"]) == (one, "naïve 東京")
    assert signoff("memory", "export", "--team", "sales").out == ""
    assert signoff("memory", "export", "--out", "m.jsonl").code == 0
    assert Path("m.jsonl").read_text() == f"{line}\n"
    assert "there already" in signoff("memory", "export", "--out", "m.jsonl").err
    told = signoff("memory", "export", "--out", "m.jsonl", "--force", "--json")
    assert told.json == {"file": "m.jsonl", "memories": 1}


def test_looking_makes_no_files(signoff: Callable[..., Any]) -> None:
    assert "Nothing is remembered." in signoff("memory", "list").out
    assert not Path(".signoff").exists()
