"""Which tier does the work is said by rules: of a team, a tenant, the time of day, and what is left to spend."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from signoff.agents.models.registry import routed
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.jobs import NewJob, make_tables
from signoff.checkpoints.ledger.budgets import Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import metadata
from signoff.errors import SettingsError
from signoff.settings import load_settings

NIGHT = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> Callable[..., str]:
    def route(*rules: dict[str, Any], tier: str = "smart", now: datetime = NOON, **payer: Any) -> str:
        monkeypatch.setenv("SIGNOFF_ROUTES", json.dumps(rules))
        with paying(Payer(ledger=ledger, **{"run_id": "r-1", "team": "report", "role": "writer", **payer})):
            return routed(tier, now)

    return route


def test_the_first_rule_that_holds_says_which_tier(by: Callable[..., str]) -> None:
    rules = ({"team": "code", "tier": "smart"}, {"instead_of": "smart", "tier": "fast"}, {"tier": "other"})
    assert by(*rules) == "fast"
    assert by(*rules, team="code", tier="fast") == "smart"
    assert by(*rules, tier="middle") == "other"
    assert by() == "smart"


def test_a_rule_holds_within_its_hours_also_over_midnight_and_by_its_zone(by: Callable[..., str]) -> None:
    night = {"hours": "22:00-06:00", "tier": "fast"}
    assert (by(night, now=NIGHT), by(night, now=NOON)) == ("fast", "smart")
    assert by({**night, "zone": "Asia/Tokyo"}, now=NIGHT) == "smart"
    assert by({"hours": "11:00-13:00", "tier": "fast"}) == "fast"


def test_a_rule_of_a_tenant_is_for_the_runs_of_its_jobs(by: Callable[..., str], ledger: Ledger, database: str) -> None:
    make_tables(ledger, database)
    job = NewJob(id="a-1", team="report", goal="pay", options={}, tenant="acme")
    ledger.jobs.submit([job], by="joe")
    rule = {"tenant": "acme", "tier": "fast"}
    assert (by(rule, run_id=job.run_id), by(rule)) == ("fast", "smart")


def test_a_rule_for_when_little_is_left_looks_at_each_budget_that_is_charged(
    by: Callable[..., str], ledger: Ledger
) -> None:
    rule = {"left_below": 0.25, "tier": "fast"}
    limits = {"run": Budget(usd=1.0), "day": Budget(tokens=1_000)}
    assert by(rule, budgets=limits) == "smart"
    spent = {"scope": "run:r-1", "nusd": 800_000_000, "tokens": 0, "steps": 0, "ms": 0}
    with ledger.write() as connection:
        connection.execute(metadata.tables["budgets"].insert().values(**spent))
    assert by(rule, budgets=limits) == "fast"
    assert by(rule, budgets={"day": Budget(usd=9.0)}) == "smart"


@pytest.mark.usefixtures("home")
def test_a_rule_that_is_none_is_told_with_how_rules_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ('[{"hours": "late", "tier": "fast"}]', '[{"zone": "Mars", "tier": "x"}]', '[{"tean": "a"}]', "no"):
        monkeypatch.setenv("SIGNOFF_ROUTES", wrong)
        with pytest.raises(SettingsError, match="SIGNOFF_ROUTES"):
            load_settings()
    monkeypatch.setenv("SIGNOFF_ROUTES", "")
    assert load_settings().routes == ()
