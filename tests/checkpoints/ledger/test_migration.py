import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.opening import configured_saver
from signoff.settings import Settings

CONFIG: Any = {"configurable": {"thread_id": "one"}}


def graph(saver: BaseCheckpointSaver[Any]) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [HumanMessage(f"answer {len(state['messages'])}")]})
    return builder.add_edge(START, "answer").compile(checkpointer=saver)


def old_database(home: Path) -> Path:
    """A database as signoff 0.1 left it: our ledger, and the tables of LangGraph's SqliteSaver."""
    path = home / "old.db"
    ledger = Ledger(path)
    ledger.runs.begin("one", 1, team="report", goal="Compare", options={}, driver="local")
    ledger.close()
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        for question in ("first", "second"):
            graph(SqliteSaver(connection)).invoke({"messages": [("user", question)]}, CONFIG)
    return path


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_database_of_the_version_before_goes_on_where_it_was(home: Path) -> None:
    path = old_database(home)
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        before = [
            (step.config, step.values, step.next) for step in graph(SqliteSaver(connection)).get_state_history(CONFIG)
        ]
    with configured_saver(Settings(database=str(path))) as saver:
        after = [(step.config, step.values, step.next) for step in graph(saver).get_state_history(CONFIG)]
        assert after == before
        messages = graph(saver).invoke({"messages": [("user", "third")]}, CONFIG)["messages"]
    assert len(messages) == 6
    assert not {"checkpoints", "writes"} & tables(path)
    assert Ledger(path).runs.get("one").goal == "Compare"


def test_the_file_is_backed_up_before_and_only_once(home: Path) -> None:
    path = old_database(home)
    original = tables(path)
    for _ in range(2):
        with configured_saver(Settings(database=str(path))) as saver:
            assert saver.get_tuple(CONFIG) is not None
    (backup,) = home.glob("old.db.backup*")
    assert tables(backup) == original
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0] > 0
