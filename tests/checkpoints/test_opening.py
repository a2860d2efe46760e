"""One way to open a saver, whether a path or the address of a PostgreSQL server is given."""

import asyncio
import logging
import subprocess
import sys
import traceback
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypedDict
from urllib.parse import quote

import psycopg
import pytest
import warm
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.graph import START, StateGraph

from signoff.checkpoints.opening import open_saver
from signoff.checkpoints.saver.encoding.encryption import new_key
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable, KeyMissing, MissingExtra, SettingsError, UnlistedType, WrongKey

SECRET = "the-owner-of-the-harbour"
KEY = "signoff+tests+signoff+tests+signoff+tests+4="
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def execute(address: str, statement: str) -> list[Any]:
    with psycopg.connect(address, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return list(done.fetchall()) if done.description else []


class Notes(TypedDict):
    goal: str
    lines: Annotated[list[str], add]


def build() -> "StateGraph[Notes]":
    graph = StateGraph(Notes)
    graph.add_node("write", lambda state: {"lines": [f"about {state['goal']}"]})
    graph.add_edge(START, "write")
    return graph


def test_with_a_path_it_is_our_saver_and_it_is_closed_at_the_end(home: Path) -> None:
    with open_saver(home / "new" / "notes.db") as saver:
        assert isinstance(saver, SqliteCheckpointer)
        build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
    with open_saver(str(home / "new" / "notes.db")) as saver:
        found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"]["lines"] == ["about tides"]


def test_with_a_path_and_async_with_it_is_our_saver_too(home: Path) -> None:
    async def use() -> Any:
        async with open_saver(home / "notes.db") as saver:
            assert isinstance(saver, SqliteCheckpointer)
            return await build().compile(checkpointer=saver).ainvoke({"goal": "tides", "lines": []}, THREAD)

    assert asyncio.run(use())["lines"] == ["about tides"]


def test_a_graph_goes_on_where_it_was_on_postgresql(address: str) -> None:
    for lines in (1, 2):
        with open_saver(address) as saver:
            state = build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
        assert state["lines"] == ["about tides"] * lines


def test_a_graph_goes_on_where_it_was_on_postgresql_asynchronously(address: str) -> None:
    async def use() -> Any:
        async with open_saver(address.replace("postgresql://", "postgres://")) as saver:
            return await build().compile(checkpointer=saver).ainvoke({"goal": "tides", "lines": []}, THREAD)

    assert asyncio.run(use())["lines"] == ["about tides"]
    assert asyncio.run(use())["lines"] == ["about tides"] * 2


def test_one_opening_can_be_used_again(address: str) -> None:
    opening = open_saver(address)
    for lines in (1, 2):
        with opening as saver:
            state = build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
        assert state["lines"] == ["about tides"] * lines


def test_processes_that_open_a_new_database_at_once_all_succeed(address: str) -> None:
    code = (
        "import sys\n"
        "from signoff.checkpoints.opening import open_saver\n"
        "opening = open_saver(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "with opening as saver:\n"
        "    print(saver.get_tuple({'configurable': {'thread_id': '1'}}))\n"
    )
    command = [sys.executable, "-c", code, address]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ExitStack() as stack:
        started = [stack.enter_context(warm.start(command, text=True, **pipes)) for _ in range(4)]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert ended == [(("None\n", ""), 0)] * len(started)


def test_a_role_that_may_not_make_tables_can_use_those_that_are_there(address: str) -> None:
    with open_saver(address) as saver:
        build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
    execute(address, "CREATE ROLE reader LOGIN")
    execute(address, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with open_saver(address.replace("postgres:@", "reader:@")) as saver:
        assert saver.get_tuple(THREAD) is not None


def test_a_connection_that_was_cut_is_renewed(address: str) -> None:
    with open_saver(address) as saver:
        graph = build().compile(checkpointer=saver)
        graph.invoke({"goal": "tides", "lines": []}, THREAD)
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        cut = execute(address, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert cut == [(True,)]
        assert graph.invoke({"goal": "tides", "lines": []}, THREAD)["lines"] == ["about tides"] * 2


def test_with_a_key_no_value_is_readable_on_postgresql(address: str) -> None:
    with open_saver(address, key=KEY) as saver:
        state = build().compile(checkpointer=saver).invoke({"goal": SECRET, "lines": []}, THREAD)
        assert state["lines"] == [f"about {SECRET}"]
        with_key = saver.get_tuple(THREAD)
    assert with_key is not None
    assert with_key.checkpoint["channel_values"]["goal"] == SECRET
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        rows = execute(address, f"SELECT t::text FROM {table} t")
        assert rows
        assert not [row for row in rows if SECRET in row[0] or SECRET.encode().hex() in row[0]]
    with open_saver(address, key=new_key()) as saver, pytest.raises(WrongKey):
        saver.get_tuple(THREAD)
    with open_saver(address) as saver, pytest.raises(KeyMissing):
        saver.get_tuple(THREAD)


def test_with_a_key_what_was_written_without_one_can_be_read(address: str) -> None:
    with open_saver(address) as saver:
        build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
    with open_saver(address, key=KEY) as saver:
        state = build().compile(checkpointer=saver).invoke({"goal": "tides", "lines": []}, THREAD)
    assert state["lines"] == ["about tides"] * 2


@dataclass
class Opinion:
    text: str


def test_an_unlisted_type_is_refused_when_it_is_written_to_postgresql(address: str) -> None:
    with open_saver(address) as saver, pytest.raises(UnlistedType, match="Opinion"):
        saver.put_writes(stored(saver), [("opinion", Opinion("high"))], task_id="t")


def test_messages_are_kept_on_postgresql_with_and_without_a_key(address: str) -> None:
    for key in (None, KEY):
        with open_saver(address, key=key) as saver:
            saver.put_writes(stored(saver), [("messages", [HumanMessage("ahoy", id="1")])], task_id="t")
            found = saver.get_tuple(THREAD)
            assert found is not None
            assert found.pending_writes == [("t", "messages", [HumanMessage("ahoy", id="1")])]


def stored(saver: BaseCheckpointSaver[Any]) -> RunnableConfig:
    """Configuration of a new checkpoint of the thread."""
    from langgraph.checkpoint.base import empty_checkpoint

    start: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    return saver.put(start, empty_checkpoint(), {}, {})


@pytest.mark.parametrize("key", [None, KEY], ids=["readable", "encrypted"])
def test_the_conformance_suite_passes_on_postgresql(address: str, key: str | None) -> None:
    async def savers() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        async with open_saver(address, key=key) as saver:
            yield saver

    report = asyncio.run(validate(checkpointer_test("postgres")(savers)))
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert report.passed_all_base()


@pytest.mark.parametrize("options", ["", "&connect_timeout=2"])
def test_a_server_that_is_not_there_is_told_without_the_password(options: str) -> None:
    address = f"postgresql://ann:{SECRET}@127.0.0.1:1/notes?sslpassword={SECRET}{options}"
    with pytest.raises(DatabaseUnusable, match=r"postgresql://127\.0\.0\.1/notes") as told, open_saver(address):
        pass
    assert SECRET not in "".join(traceback.format_exception(told.value))


def test_a_wrong_password_is_told_without_telling_it(
    server: Any, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = Path(server.pgdata, "pg_hba.conf")
    before = rules.read_text()
    execute(address, f"CREATE ROLE ann LOGIN PASSWORD '{KEY}'")
    try:
        rules.write_text(f"local all ann scram-sha-256\n{before}")
        execute(address, "SELECT pg_reload_conf()")
        wrong, right = (address.replace("postgres:@", f"ann:{quote(password)}@") for password in (SECRET, KEY))
        with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseUnusable, match="ann") as told, open_saver(wrong):
            pass
        assert SECRET not in "".join(traceback.format_exception(told.value)) + caplog.text
        execute(address, "GRANT ALL ON SCHEMA public TO ann")
        with open_saver(right) as saver:
            assert saver.get_tuple(THREAD) is None
    finally:
        rules.write_text(before)
        execute(address, "SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    "password",
    [f"{SECRET}/x", f"x/{SECRET}", f"12/{SECRET}", f"x@{SECRET}", f"%zz{SECRET}"],
)
def test_a_password_that_spoils_the_address_is_not_told(password: str) -> None:
    with pytest.raises(SettingsError, match="%XX") as told:
        open_saver(f"postgresql://ann:{password}@127.0.0.1/notes")
    assert SECRET not in "".join(traceback.format_exception(told.value))
    assert told.value.__context__ is None


@pytest.mark.parametrize("address", ["mysql://ann:{}@host/notes", "postgresql+psycopg://ann:{}@host/notes"])
def test_any_other_address_is_refused_without_telling_the_password(home: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://") as told:
        open_saver(address.format(SECRET))
    assert SECRET not in str(told.value)
    assert list(home.iterdir()) == []


def test_an_address_given_as_a_path_makes_no_folder_named_after_it(home: Path) -> None:
    with pytest.raises(SettingsError, match="as text") as told:
        open_saver(Path(f"postgresql://ann:{SECRET}@host/notes"))
    assert SECRET not in str(told.value)
    assert list(home.iterdir()) == []


def test_without_the_packages_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "psycopg" or name in (
            "signoff.checkpoints.saver.postgres_checkpointer",
            "signoff.checkpoints.saver.postgres_checkpointer",
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"install .*\[postgres\]"):
        open_saver("postgresql://127.0.0.1/notes")
