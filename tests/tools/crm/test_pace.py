"""The pace of requests to a CRM: learned from refusals, shared by all who write to one host."""

from __future__ import annotations

from signoff.checkpoints.ledger import PrivateRates
from signoff.tools.crm.pace import Pace
from signoff.tools.web.http_waits import retry_after


def test_a_refusal_slows_down_all_who_share_the_store_and_nobody_at_another_host() -> None:
    store = PrivateRates()
    one, other = Pace(store), Pace(store)
    turn = one.take("crm.example.org")
    one.refused("crm.example.org", turn, 0.05)
    after = other.take("crm.example.org")
    assert after.epoch == 1
    assert after.pace < turn.pace
    assert after.start >= turn.start + 0.05
    assert other.take("else.example.org").epoch == 0


def test_what_a_refusal_asks_is_read_as_seconds_or_as_a_moment() -> None:
    assert retry_after({"retry-after": "1.5"}, 0.0) == 1.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 2e9) == 0.0
    assert retry_after({"retry-after": "soon"}, 0.0) is None
    assert retry_after({}, 0.0) is None
