"""What is special about a ledger on a PostgreSQL server."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.opening import configured_ledger
from signoff.errors import DatabaseUnusable, MissingExtra, SettingsError
from signoff.settings import Settings, load_settings

SECRET = "the-owner-of-the-harbour"
OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def ledger(address: str) -> Ledger:
    return Ledger(address)


def execute(address: str, statement: str) -> list[Any]:
    with psycopg.connect(address, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return list(done.fetchall()) if done.description else []


def cut(address: str) -> int:
    """Cut all connections to the database but this; returns how many there were."""
    return len(execute(address, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OTHERS}"))


def shown(ledger: Ledger, setting: str, *, writes: bool) -> str:
    with ledger.write() if writes else ledger.read() as connection:
        return str(connection.exec_driver_sql(f"SHOW {setting}").scalar())


def test_a_connection_that_was_cut_between_two_uses_is_renewed(address: str, ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    assert cut(address) == 1
    ledger.runs.set_status("r-1", "done")
    assert cut(address) == 1
    assert ledger.runs.get("r-1").status == "done"


def test_a_write_whose_connection_is_cut_is_told_undone_and_not_tried_again(address: str, ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    cuts = []

    def write() -> None:
        with ledger.write() as connection:
            connection.exec_driver_sql("UPDATE runs SET status = 'done'")
            cuts.append(cut(address))

    with pytest.raises(DatabaseUnusable):
        write()
    assert cuts == [1]
    assert ledger.runs.get("r-1").status == "running"


def test_an_address_that_begins_with_postgres_is_one_too(address: str) -> None:
    ledger = Ledger(address.replace("postgresql://", "postgres://"))
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    assert Ledger(address).runs.get("r-1").goal == "g"


def test_a_commit_is_on_disk_whatever_the_server_was_told(address: str, ledger: Ledger) -> None:
    for set_to, found in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        execute(address, f"ALTER DATABASE {address_name(address)} SET synchronous_commit = {set_to}")
        assert shown(Ledger(address), "synchronous_commit", writes=True) == found


def test_a_writer_sees_what_was_written_while_it_waited_whatever_the_server_was_told(address: str) -> None:
    execute(address, f"ALTER DATABASE {address_name(address)} SET default_transaction_isolation = serializable")
    assert shown(Ledger(address), "transaction_isolation", writes=True) == "read committed"


def test_a_server_that_takes_no_changes_now_is_told_in_one_line(address: str, ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    execute(address, f"ALTER DATABASE {address_name(address)} SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnusable, match="read-only") as told:
        Ledger(address).runs.set_status("r-1", "done")
    assert "\n" not in str(told.value)
    assert Ledger(address).runs.get("r-1").status == "running"


def address_name(address: str) -> str:
    return str(execute(address, "SELECT current_database()")[0][0])


def test_a_writer_whose_machine_is_gone_is_cut_off_sooner_than_others_give_up(ledger: Ledger) -> None:
    assert shown(ledger, "lock_timeout", writes=True) == "30s"
    assert shown(ledger, "idle_in_transaction_session_timeout", writes=True) == "20s"
    assert shown(ledger, "idle_in_transaction_session_timeout", writes=False) == "0"


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    with pytest.raises(DatabaseUnusable, match="read-only"), ledger.read() as connection:
        connection.exec_driver_sql("DELETE FROM ledger_meta")


def test_the_tables_are_made_in_the_schema_that_the_address_names(address: str) -> None:
    execute(address, "CREATE SCHEMA office")
    execute(address, "CREATE TABLE people (name TEXT)")
    ledger = Ledger(f"{address}&options=-csearch_path%3Doffice")
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    assert execute(address, "SELECT id FROM office.runs") == [("r-1",)]


def test_a_role_that_may_not_make_tables_is_told_so_in_one_line(address: str) -> None:
    with as_role(address, "newcomer") as other, pytest.raises(DatabaseUnusable, match="permission denied") as told:
        Ledger(other).runs.list()
    assert "\n" not in str(told.value)


def test_a_role_that_may_not_make_tables_can_use_those_that_are_there(address: str, ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    with as_role(address, "clerk") as other:
        execute(address, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
        Ledger(other).runs.set_status("r-1", "done")
    assert ledger.runs.get("r-1").status == "done"


def test_a_role_that_may_only_read_can_read(address: str, ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    with as_role(address, "onlooker") as other:
        execute(address, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
        assert Ledger(other).runs.get("r-1").goal == "g"
        with pytest.raises(DatabaseUnusable, match="permission denied"):
            Ledger(other).runs.set_status("r-1", "done")


@contextmanager
def as_role(address: str, role: str) -> Iterator[str]:
    """The address for a new role, which is gone at the end."""
    execute(address, f"CREATE ROLE {role} LOGIN")
    try:
        yield address.replace("postgres:@", f"{role}:@")
    finally:
        execute(address, f"DROP OWNED BY {role}")
        execute(address, f"DROP ROLE {role}")


@pytest.mark.parametrize("options", ["", "?connect_timeout=2", f"?sslpassword={SECRET}"])
def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password(options: str) -> None:
    ledger = Ledger(f"postgresql://ann:{SECRET}@127.0.0.1:1/notes{options}")
    with pytest.raises(DatabaseUnusable, match=r"postgresql://127\.0\.0\.1/notes") as told:
        ledger.runs.list()
    assert "\n" not in str(told.value)
    assert SECRET not in "".join(traceback.format_exception(told.value)) + repr(ledger) + ledger.database


def test_a_wrong_password_is_told_in_one_line_without_telling_it(
    server: Any, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = Path(server.pgdata, "pg_hba.conf")
    before = rules.read_text()
    execute(address, "CREATE ROLE bob LOGIN PASSWORD 'another'")
    try:
        rules.write_text(f"local all bob scram-sha-256\n{before}")
        execute(address, "SELECT pg_reload_conf()")
        wrong = Ledger(address.replace("postgres:@", f"bob:{SECRET}@"))
        with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseUnusable, match="bob") as told:
            wrong.runs.list()
        assert "\n" not in str(told.value)
        assert SECRET not in "".join(traceback.format_exception(told.value)) + caplog.text
    finally:
        rules.write_text(before)
        execute(address, "SELECT pg_reload_conf()")
        execute(address, "DROP ROLE bob")


def test_a_password_that_spoils_the_address_is_not_told() -> None:
    with pytest.raises(SettingsError, match="%XX") as told:
        Ledger(f"postgresql://ann:x@{SECRET}/y@127.0.0.1/notes")
    assert SECRET not in "".join(traceback.format_exception(told.value))


def test_the_settings_name_a_server_and_do_not_show_its_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", address)
    configured_ledger(load_settings()).runs.begin("r-1", 1, team="t", goal="g")
    assert Ledger(address).runs.get("r-1").goal == "g"
    assert SECRET not in repr(Settings(database=f"postgresql://ann:{SECRET}@host/notes"))


def test_without_the_package_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "psycopg" or name in (
            "signoff.checkpoints.db.postgres",
            "signoff.checkpoints.db.postgres",
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"install .*\[postgres\]"):
        Ledger("postgresql://127.0.0.1/notes")
