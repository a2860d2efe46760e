"""The action that writes a row, and which CRM an address means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from signoff.checkpoints import digest
from signoff.error_base import SettingsError
from signoff.errors import ActionFailed, CrmFailed
from signoff.settings import load_settings
from signoff.tools.crm import HubSpot, Row, SearchThenWrite, SqliteCrm, open_crm, upsert_action


def test_the_action_tells_what_it_did_and_that_it_reads_back_as_approved(tmp_path: Path, rows: Any) -> None:
    action = upsert_action(SqliteCrm(tmp_path / "crm.db"))
    assert action.reconcile is not None
    assert action.reconcile(rows[0], "key") is None
    done = action.call(rows[0], "key")
    assert (done["change"], done["differs"]) == ("created", [])
    assert done["read_back"] == done["sha256"] == digest({"key": rows[0].key, "properties": rows[0].properties})
    assert action.reconcile(rows[0], "key") == done
    assert action.call(rows[0], "key")["change"] == "unchanged"


def test_what_the_crm_keeps_otherwise_is_told(companies: Any, rows: Any) -> None:
    def fault(_method: str, path: str, body: Any) -> Any:
        if path.endswith("upsert"):
            for one in body["inputs"]:
                one["properties"]["licence"] = one["properties"]["licence"].lower()

    companies.fault = fault
    done = upsert_action(companies.hubspot()).call(rows[0], "key")
    assert (done["change"], done["differs"], done["read_back"] == done["sha256"]) == ("created", ["licence"], False)


def test_a_refusal_of_the_crm_is_an_action_that_failed_and_a_cut_off_one_is_not(
    companies: Any, rows: Any, times: Any
) -> None:
    action = upsert_action(companies.hubspot())
    companies.fault = times(1, (400, {}, {"message": "no such option"}))
    with pytest.raises(ActionFailed, match="no such option"):
        action.call(rows[0], "key")
    gone = iter([False, True, True, True])
    companies.fault = lambda *_: "drop" if not next(gone, True) else "hang up"
    companies.fault = lambda _method, path, _body: (
        "drop" if path.endswith("upsert") else ("hang up" if companies.written else None)
    )
    with pytest.raises(CrmFailed, match="may have done it"):
        action.call(rows[0], "key")
    companies.fault = lambda *_: None
    assert action.reconcile is not None
    found = action.reconcile(rows[0], "key")
    assert found is not None
    assert (found["change"], len(companies.written)) == ("created", 1)


def test_a_row_of_one_identity_has_one_key_whatever_run_or_spelling_of_properties() -> None:
    one = Row.of("leads", "flask", "1", "Flask", {"a": "1", "b": "2"})
    same = Row.of("leads", "flask", "1", "flask!", {"b": "2", "a": "1"})
    assert (one.key, one.sha256) == (same.key, same.sha256)
    for other in (
        Row.of("other", "flask", "1", "Flask", {"a": "1"}),
        Row.of("leads", "flask", "2", "Flask", {"a": "1"}),
        Row.of("leads", "quart", "1", "Flask", {"a": "1"}),
    ):
        assert other.key != one.key


@pytest.mark.parametrize("name", ["id", "signoff_key", "Licence", "a b", 'x"; DROP TABLE leads', ""])
def test_a_property_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError, match="no property"):
        Row.of("leads", "flask", "1", "Flask", {name: "1"})


def test_an_address_says_which_crm_it_is(home: Path) -> None:
    settings = load_settings()
    kept = open_crm("crm.db", settings)
    assert isinstance(kept, SqliteCrm)
    assert kept.path == Path.cwd() / "crm.db"
    hubspot = open_crm("https://api.hubapi.com#contacts", settings)
    assert isinstance(hubspot, HubSpot)
    assert (hubspot.base, hubspot.object) == ("https://api.hubapi.com", "contacts")
    other = open_crm("pipedrive+http://127.0.0.1:8080/api", settings)
    assert isinstance(other, SearchThenWrite)
    assert (other.base, other.object, other.host) == ("http://127.0.0.1:8080/api", "organizations", "127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "folder/",
        "https://crm.example.org",
        "ftp://crm.example.org",
        "twenty+https://x.org",
        "https://me:token@api.hubapi.com",
        "https://api.hubapi.com?hapikey=x",
    ],
)
def test_an_address_that_names_no_crm_is_refused_with_what_can_be_written(home: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="--crm"):
        open_crm(address, load_settings())
