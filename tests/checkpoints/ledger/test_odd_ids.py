"""Ids that nobody has: whatever somebody asks for, there is no such thing, and the database is none the worse."""

from contextlib import suppress

import pytest

from signoff import Ledger
from signoff.checkpoints.errors import UnknownApproval, UnknownNotice, UnknownRun
from signoff.checkpoints.ledger import EVERYBODY
from signoff.error_base import SettingsError

ODD = ("", "\0", "a\0b", "\ud800", "r-\udfff", "%" * 200, "_" * 18, "\\", "9" * 5000, "a" * 60_000)


@pytest.fixture(params=["file", "server"])
def ledger(request: pytest.FixtureRequest, tmp_path: object) -> Ledger:
    if request.param == "server":
        found: Ledger = Ledger(request.getfixturevalue("address"))
    else:
        found = Ledger(f"{tmp_path}/ledger.db")
    found.runs.begin("r-1", 1, team="office", goal="pay")
    return found


@pytest.mark.parametrize("odd", ODD, ids=map(str, range(len(ODD))))
def test_an_id_that_nobody_has_is_unknown_on_both_databases(ledger: Ledger, odd: str) -> None:
    with pytest.raises(UnknownRun):
        ledger.runs.get(odd)
    for ask in (ledger.approvals.get, lambda given: ledger.approvals.reject(given, by="ann")):
        with pytest.raises(UnknownApproval):
            ask(odd)
    with pytest.raises(UnknownNotice):
        ledger.notices.retry(odd)
    assert ledger.approvals.pending(odd) == []
    assert ledger.approvals.lapsed(odd) == []
    assert ledger.inbox.page("all", EVERYBODY, {"run": odd}).items == []
    assert ledger.inbox.find(odd) is None
    assert ledger.people.holder(odd, "token") is None
    assert ledger.people.take_keys(by="root", secret=odd or "none") == 0
    with suppress(SettingsError):
        assert ledger.people.take_keys(by="root", id_=odd, name="nobody") == 0
