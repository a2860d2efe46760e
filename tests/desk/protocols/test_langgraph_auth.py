"""Who is known on LangGraph Server: by the ledger as it is now, which is not opened anew for each who asks."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from doors import tokens_of, unknown_token
from langgraph_sdk import Auth
from sqlalchemy import Engine, event

from signoff import Ledger
from signoff.desk.protocols.langgraph_auth import TENANT, guard
from signoff.desk.service import Service

Refused = Auth.exceptions.HTTPException


def asked(token: str) -> Any:
    """Who it is, or with which status they are refused, in an event loop of its own."""
    try:
        return asyncio.run(guard.authenticate({b"authorization": f"Bearer {token}".encode()}))
    except Refused as error:
        return error.status_code


@pytest.fixture
def opened() -> Iterator[list[Engine]]:
    """The engines that were made meanwhile, by their connections."""
    found = list[Engine]()

    def note(connection: Any, _record: Any) -> None:
        found.append(connection)

    event.listen(Engine, "connect", note)
    yield found
    event.remove(Engine, "connect", note)


def test_the_ledger_is_opened_once_for_all_who_ask_in_whatever_loop_and_thread(
    ledger: Ledger, opened: list[Engine]
) -> None:
    tokens = tokens_of(ledger, ann=("finance",), bob=())
    ann = {"identity": "ann", "permissions": ["finance"]}
    assert asked(tokens["ann"]) == ann
    before = len(opened)
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(asked, [*tokens.values(), unknown_token()] * 20))
    assert told == [ann, {"identity": "bob", "permissions": []}, 401] * 20
    assert len(opened) - before <= 4, "as many as ask at once"
    ledger.people.take_keys(by="root", name="ann")
    assert asked(tokens["ann"]) == 401


def test_what_is_asked_is_the_ledger_that_the_settings_name_now(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens_of(ledger, ann=())["ann"]
    assert asked(token)["identity"] == "ann"
    monkeypatch.setenv("SIGNOFF_DATABASE", "other.db")
    assert asked(token) == 401
    with closing(Ledger("other.db")) as other:
        theirs = tokens_of(other, zed=("tenant:zeta",))["zed"]
    assert asked(theirs) == {"identity": "zed", "permissions": ["tenant:zeta"]}
    monkeypatch.delenv("SIGNOFF_DATABASE")
    assert [asked(token)["identity"], asked(theirs)] == ["ann", 401]


def test_a_database_that_is_replaced_is_read_as_it_is_now_and_one_that_is_gone_lets_nobody_in(
    home: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    path = home / ".signoff" / "signoff.db"
    ann = tokens_of(ledger, ann=())["ann"]
    ledger.close()
    shutil.copy(path, "older.db")
    bob = tokens_of(ledger, bob=())["bob"]
    ledger.close()
    assert [asked(ann)["identity"], asked(bob)["identity"]] == ["ann", "bob"]
    for part in (path, *(home / ".signoff").glob("signoff.db-*")):
        part.unlink()
    os.replace("older.db", path)
    assert [asked(ann)["identity"], asked(bob)] == ["ann", 401]
    path.unlink()
    assert [asked(ann), asked(ann)] == [503, 503]
    assert "nobody is known" in caplog.text


def test_a_schedule_begins_runs_in_its_makers_tenant_and_cuts_nothing_off(service: Service) -> None:
    service.ledger.people.give("zed", "tenant:zeta", by="root")
    user: Any = SimpleNamespace(identity="zed")  # all that the server tells of them when its time has come
    begins = Auth.types.AuthContext(permissions=[], user=user, resource="threads", action="create_run")
    value: dict[str, Any] = {"metadata": None}
    assert asyncio.run(guard.authorize(begins, value)) == {TENANT: "zeta"}
    assert value["metadata"] == {TENANT: "zeta"}
    made = Auth.types.AuthContext(permissions=["tenant:zeta"], user=user, resource="crons", action="create")
    for cut in ("interrupt", "rollback"):
        with pytest.raises(Refused, match="not cut off"):
            asyncio.run(guard.authorize(made, {"payload": {"multitask_strategy": cut}}))
    assert asyncio.run(guard.authorize(made, {"payload": {"multitask_strategy": "enqueue"}})) == {TENANT: "zeta"}


def test_no_webhook_is_called_that_a_client_names_unless_the_server_says_where_they_may_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user: Any = SimpleNamespace(identity="ann")
    hook = "https://evil.example.org/x"  # the server's own guard would look that up, so it is not asked here
    ways: list[tuple[Any, Any, dict[str, Any]]] = [
        ("threads", "create_run", {"kwargs": {"webhook": hook}}),
        ("crons", "create", {"payload": {"webhook": hook}}),
        ("crons", "update", {"payload": {"webhook": hook}}),
    ]
    for resource, action, value in ways:
        does = Auth.types.AuthContext(permissions=["finance"], user=user, resource=resource, action=action)
        with pytest.raises(Refused, match="No webhook is called that a client names") as caught:
            asyncio.run(guard.authorize(does, dict(value)))
        assert caught.value.status_code == 422
        with monkeypatch.context() as configured:
            configured.setenv("LANGGRAPH_WEBHOOKS", '{"url": {"allowed_domains": ["evil.example.org"]}}')
            assert asyncio.run(guard.authorize(does, dict(value))) == {TENANT: ""}
