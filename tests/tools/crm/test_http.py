"""CRMs behind HTTP: over real sockets, no row is lost and none is written twice, whatever the server answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from signoff.errors import CrmFailed
from signoff.tools.crm import Written

LIMITED = {
    "status": "error",
    "errorType": "RATE_LIMIT",
    "policyName": "SECONDLY",
    "message": "You have reached your limit",
}
SHAPES = pytest.mark.parametrize("shape", ["hubspot", "pipedrive"])
WHERE = {"hubspot": "batch/upsert", "pipedrive": "/v1/organizations"}


def changes(written: list[Written]) -> list[str]:
    return [one.change for one in written]


@SHAPES
def test_each_row_says_whether_it_was_created_updated_or_left_as_it_is(
    companies: Any, rows: Any, row: Any, shape: str
) -> None:
    crm = getattr(companies, shape)()
    assert changes(crm.upsert(rows)) == ["created"] * 3
    assert changes(crm.upsert(rows)) == ["unchanged"] * 3
    later = [row("flask", licence="MIT"), rows[1], row("sanic")]
    assert changes(crm.upsert(later)) == ["updated", "unchanged", "created"]
    found = crm.find([one.key for one in later], ["licence"])
    assert [found[one.key].properties["licence"] for one in later] == ["MIT", "BSD", "BSD"]
    assert all(found[one.key].holds(one) and not found[one.key].differs_from(one) for one in later)
    assert (found[later[0].key].before, found[later[2].key].before) == (rows[0].sha256, "")
    assert len(set(companies.keys())) == len(companies.records) == 4


@SHAPES
def test_what_is_already_there_is_not_written_again(companies: Any, rows: Any, shape: str) -> None:
    crm = getattr(companies, shape)()
    crm.upsert(rows)
    before = companies.writes()
    crm.upsert(rows)
    assert companies.writes() == before


@SHAPES
@pytest.mark.parametrize(
    "wrong", ["drop", "hang up", (503, {}, {"message": "busy"}), (502, {}, b"<html>bad gateway"), (200, {}, b"{")]
)
def test_after_an_answer_that_leaves_it_open_it_is_read_back_before_anything_is_written_again(
    companies: Any, rows: Any, times: Any, shape: str, wrong: Any
) -> None:
    crm = getattr(companies, shape)()
    companies.fault = times(1, wrong, path=WHERE[shape])
    assert changes(crm.upsert(rows)) == ["created"] * 3
    assert sorted(companies.written) == sorted(one.key for one in rows)
    writes = [place for place, line in enumerate(companies.asked) if line == f"POST {_path(shape)}"]
    if wrong != "drop":  # nothing was written by the first, and before the second it was looked
        assert any("read" in line or "search" in line for line in companies.asked[writes[0] + 1 : writes[1]])


def _path(shape: str) -> str:
    return "/crm/objects/2026-03/companies/batch/upsert" if shape == "hubspot" else "/v1/organizations"


@SHAPES
def test_where_it_cannot_be_read_back_either_it_is_not_said_to_be_written_or_not(
    companies: Any, rows: Any, shape: str
) -> None:
    crm = getattr(companies, shape)()
    written = threading.Event()

    def fault(method: str, path: str, _body: Any) -> Any:
        if method == "POST" and path == _path(shape):
            written.set()
            return "drop"
        return "hang up" if written.is_set() else None

    companies.fault = fault
    with pytest.raises(CrmFailed, match="may have done it") as caught:
        crm.upsert(rows[:1])
    assert not caught.value.sure
    companies.fault = lambda *_: None
    assert changes(crm.upsert(rows[:1])) == ["unchanged"]
    assert companies.written == [rows[0].key]


def test_of_a_partial_answer_only_the_bad_rows_are_sent_again(companies: Any, rows: Any, times: Any) -> None:
    flask, django, _ = rows
    passing = {"category": "RATE_LIMITS", "message": "try later"}
    invalid = {"category": "VALIDATION_ERROR", "message": "licence is not an option"}
    companies.fault = times(1, ("rows", {flask.key: passing, django.key: invalid}))
    written = companies.hubspot().upsert(rows)
    assert changes(written) == ["created", "refused", "created"]
    assert "licence is not an option" in written[1].problem
    assert sorted(companies.written) == sorted([flask.key, rows[2].key])


def test_a_row_of_which_an_answer_tells_nothing_is_read_back(companies: Any, rows: Any) -> None:
    def fault(method: str, path: str, body: Any) -> Any:
        if not path.endswith("upsert"):
            return None
        companies.fault = lambda *_: None
        companies.upsert(body["inputs"], {})
        return 200, {}, {"status": "COMPLETE", "results": []}

    companies.fault = fault
    assert changes(companies.hubspot().upsert(rows)) == ["created"] * 3
    assert len(companies.written) == 3


@pytest.mark.parametrize("status", [400, 422])
def test_a_batch_that_is_refused_for_one_row_keeps_no_other_out(companies: Any, rows: Any, status: int) -> None:
    def fault(_method: str, path: str, body: Any) -> Any:
        bad = path.endswith("upsert") and any(one["id"] == rows[1].key for one in body["inputs"])
        return (status, {}, {"message": "Property values were not valid"}) if bad else None

    companies.fault = fault
    written = companies.hubspot().upsert(rows)
    assert changes(written) == ["created", "refused", "created"]
    assert "not valid" in written[1].problem


@SHAPES
def test_a_conflict_is_looked_at_and_what_was_written_meanwhile_is_not_written_again(
    companies: Any, rows: Any, row: Any, shape: str
) -> None:
    crm, other = getattr(companies, shape)(), row("flask", licence="GPL")
    taken = iter([rows[0], other])

    def fault(method: str, path: str, _body: Any) -> Any:
        if method != "POST" or path != _path(shape):
            return None
        meanwhile = next(taken, None)
        if meanwhile is None:
            return None
        companies.write(meanwhile.sent(""), *companies.with_key(meanwhile.key))
        return 409, {}, {"message": "a record with this value exists"}

    companies.fault = fault
    assert changes(crm.upsert([rows[0]])) == ["unchanged"]
    companies.records.clear()
    assert changes(crm.upsert([rows[0]])) == ["updated"]  # somebody wrote another row under the key
    assert len(companies.records) == 1


def test_a_conflict_with_another_record_is_a_refusal(companies: Any, rows: Any, times: Any) -> None:
    companies.fault = times(9, (409, {}, {"message": "domain is taken by 77"}))
    (written,) = companies.hubspot().upsert(rows[:1])
    assert (written.change, "domain is taken by 77" in written.problem) == ("refused", True)


@SHAPES
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Retry-After": "0"},
        {"Retry-After": "0.05"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"Retry-After": "40000", "Retry-After-Ms": "20"},
    ],
)
def test_where_it_takes_no_more_it_is_waited_and_nothing_is_lost(
    companies: Any, rows: Any, times: Any, shape: str, headers: dict[str, str]
) -> None:
    companies.fault = times(2, (429, headers, LIMITED), path=WHERE[shape])
    assert changes(getattr(companies, shape)().upsert(rows)) == ["created"] * 3
    assert len(companies.written) == 3


@SHAPES
def test_who_waits_too_long_is_told_for_sure_that_nothing_was_written(
    companies: Any, rows: Any, times: Any, shape: str
) -> None:
    companies.fault = times(1, (429, {"Retry-After": "40000"}, {**LIMITED, "policyName": "DAILY"}), path=WHERE[shape])
    with pytest.raises(CrmFailed, match="no more for 40,000 s") as caught:
        getattr(companies, shape)().upsert(rows)
    assert (caught.value.sure, companies.written) == (True, [])


@SHAPES
@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_secret_is_told_with_what_to_do(companies: Any, rows: Any, shape: str, status: int) -> None:
    companies.fault = lambda *_: (status, {}, {"message": "no"})
    with pytest.raises(CrmFailed, match="secrets") as caught:
        getattr(companies, shape)().upsert(rows)
    assert caught.value.sure


def test_a_redirect_is_not_followed(companies: Any, rows: Any, times: Any) -> None:
    companies.fault = lambda *_: (302, {"Location": "http://example.org/"}, {})
    with pytest.raises(CrmFailed, match="302"):
        companies.hubspot().upsert(rows)


def test_a_server_that_is_not_there_has_written_nothing(companies: Any, rows: Any) -> None:
    crm = companies.hubspot()
    object.__setattr__(crm, "base", "http://127.0.0.1:9")
    with pytest.raises(CrmFailed, match="nothing was written"):
        crm.upsert(rows)


def test_what_a_search_does_not_find_at_once_is_waited_for(companies: Any, rows: Any) -> None:
    def fault(method: str, path: str, _body: Any) -> Any:
        if method == "POST" and path == "/v1/organizations":
            companies.hidden = 1
            return "drop"
        return None

    companies.fault = fault
    assert changes(companies.pipedrive().upsert(rows[:1])) == ["created"]
    assert companies.written == [rows[0].key]


def test_two_records_with_one_key_are_told_and_neither_is_written(companies: Any, rows: Any) -> None:
    companies.write(rows[0].sent(""), "1")
    companies.write(rows[0].sent(""), "2")
    companies.written.clear()
    with pytest.raises(CrmFailed, match="1, 2 have the same key"):
        companies.pipedrive().upsert(rows[:1])
    assert companies.written == []


def test_properties_have_the_names_that_the_crm_gave_them(companies: Any, rows: Any) -> None:
    crm = companies.pipedrive(fields={"licence": "4f1e"})
    crm.upsert(rows[:1])
    (kept,) = companies.records.values()
    assert (kept["4f1e"], kept["name"]) == ("BSD", "flask")
    assert crm.find([rows[0].key])[rows[0].key].properties["licence"] == "BSD"


def test_hundreds_of_rows_go_a_hundred_at_once(companies: Any, row: Any) -> None:
    many = [row(f"p{number}") for number in range(250)]
    assert changes(companies.hubspot().upsert(many)) == ["created"] * 250
    assert companies.writes() == 3
    assert len(set(companies.keys())) == 250


@SHAPES
def test_a_row_that_somebody_changed_or_made_since_it_was_proposed_is_refused_and_left(
    companies: Any, rows: Any, row: Any, shape: str
) -> None:
    crm = getattr(companies, shape)()
    crm.upsert(rows[:2])
    names = ["licence"]
    stood = crm.find([one.key for one in rows], names)
    new = [row(one.name, licence="MIT").over(stood.get(one.key)) for one in rows]
    companies.records["1"]["licence"] = "GPL"
    companies.write({"signoff_key": rows[2].key, "licence": "ISC"})
    written = crm.upsert(new)
    assert changes(written) == ["refused", "updated", "refused"]
    assert ["licence became 'GPL'" in written[0].problem, "somebody else" in written[2].problem] == [True, True]
    assert [kept["licence"] for kept in companies.records.values()] == ["GPL", "MIT", "ISC"]


@SHAPES
def test_a_server_is_looked_at_without_a_write(companies: Any, shape: str) -> None:
    crm = getattr(companies, shape)()
    crm.check()
    companies.fault = lambda *_: (401, {}, {"message": "no token"})
    with pytest.raises(CrmFailed, match="the secret is missing"):
        crm.check()
    assert companies.written == []
