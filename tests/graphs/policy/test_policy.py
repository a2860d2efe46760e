import pickle
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from signoff import Action, Policy
from signoff.checkpoints.ledger.approval import Authority, Requirement
from signoff.errors import TeamError
from signoff.graphs.policy.patterns import Above, Below, Not, OneOf
from signoff.graphs.policy.policy import Rate, Ruling
from signoff.graphs.policy.rules import Ask, When

SMALL = When("allow", to="ann", euros=Below(100))
PAY = Policy({"pay": [SMALL, When("deny", to="eve"), Ask(role="finance")], "note": "allow", "wipe": "deny"})


def test_an_action_that_is_not_named_is_denied() -> None:
    assert Policy().ruling("pay", {}).kind == "deny"
    assert PAY.ruling("PAY", {"to": "ann", "euros": 5}) == Ruling("deny", why="policy does not name 'PAY'")


@pytest.mark.parametrize(
    ("rule", "ruling"),
    [
        ("allow", Ruling("allow", why="rule 1 of x: whatever its arguments")),
        ("deny", Ruling("deny", why="rule 1 of x: whatever its arguments")),
        ("ask", Ruling("ask", Authority(), None, "rule 1 of x: whatever its arguments")),
        (Ask(hours=8), Ruling("ask", Authority(), 8, "rule 1 of x: whatever its arguments")),
        (When("ask", a=1), Ruling("ask", why="rule 1 of x: a is 1")),
    ],
)
def test_a_single_rule_holds_for_its_action(rule: Any, ruling: Ruling) -> None:
    assert Policy({"x": rule}).ruling("x", {"a": 1}) == ruling
    assert Policy({"x": [rule]}).ruling("x", {"a": 1}) == ruling


@pytest.mark.parametrize(
    ("args", "kind", "why"),
    [
        ({"to": "ann", "euros": 99}, "allow", "rule 1 of pay: to is 'ann' and euros is below 100"),
        ({"to": "ann", "euros": 100}, "ask", "rule 3 of pay: whatever its arguments"),
        ({"to": "eve", "euros": 5}, "deny", "rule 2 of pay: to is 'eve'"),
        ({"to": "bob", "euros": 5}, "ask", "rule 3 of pay: whatever its arguments"),
        ({"to": "ann"}, "deny", "rule 1 of pay cannot be told: euros is missing"),
        ({"to": "ann", "euros": "5"}, "deny", "rule 1 of pay cannot be told: euros is text, not a number"),
        ({"to": "ann\n", "euros": 5}, "deny", "rule 1 of pay cannot be told: to has a line break or control character"),
        (
            {"to": "eve\n", "euros": 500},
            "deny",
            "rule 2 of pay cannot be told: to has a line break or control character",
        ),
        ({"to": ["eve"], "euros": 500}, "deny", "rule 2 of pay cannot be told: to is a list, not text"),
        ({"euros": 500}, "deny", "rule 2 of pay cannot be told: to is missing"),
        ({}, "deny", "rule 1 of pay cannot be told: to is missing"),
    ],
)
def test_the_first_rule_that_fits_decides_and_what_cannot_be_told_is_denied(
    args: dict[str, Any], kind: str, why: str
) -> None:
    ruling = PAY.ruling("pay", args)
    assert (ruling.kind, ruling.why) == (kind, why)
    assert ruling.authority == (Ask(role="finance").authority if kind == "ask" else Authority())


def test_arguments_that_no_rule_fits_are_denied() -> None:
    policy = Policy({"pay": [When("allow", euros=Below(100)), When("ask", euros=Above(100))]})
    assert policy.ruling("pay", {"euros": 100}) == Ruling("deny", why="no rule of pay fits its arguments")


def test_a_rule_that_surely_does_not_fit_is_passed_whatever_else_cannot_be_told() -> None:
    policy = Policy({"pay": [When("deny", euros=Above(1000), to="eve"), When("allow", to="ann", euros=5), "ask"]})
    assert policy.ruling("pay", {"to": "bob"}).kind == "ask"
    assert policy.ruling("pay", {"to": "eve"}).kind == "deny"


@pytest.mark.parametrize(
    "args", [None, [], "x", 5, {"order": 5}, {"order": {"totals": 1}}, {"order.total": 1}, {"order": None}]
)
def test_a_nested_argument_that_is_not_there_is_missing(args: Any) -> None:
    policy = Policy({"buy": When("allow", {"order.total": Below(5)})})
    assert policy.ruling("buy", args).why == "rule 1 of buy cannot be told: order.total is missing"


def test_a_nested_argument_is_named_with_dots() -> None:
    policy = Policy({"buy": [When("allow", {"order.total": Below(5), "to": "ann"}), "ask"]})
    assert policy.ruling("buy", {"order": {"total": 4}, "to": "ann"}).kind == "allow"
    assert policy.ruling("buy", {"order": {"total": 6}, "to": "ann"}).kind == "ask"


def test_an_argument_may_have_any_name() -> None:
    policy = Policy({"x": When("allow", self=1, then=2, patterns=3, name=4)})
    assert policy.ruling("x", {"self": 1, "then": 2, "patterns": 3, "name": 4}).kind == "allow"


def test_paths_are_kept_inside_a_folder() -> None:
    policy = Policy({"write": [When("deny", path="/etc/**"), When("allow", path="reports/**/*.md"), "ask"]})
    kinds = {path: policy.ruling("write", {"path": path}).kind for path in ("/etc/x", "reports/a/b.md", "notes.md")}
    assert kinds == {"/etc/x": "deny", "reports/a/b.md": "allow", "notes.md": "ask"}
    for trick in ("reports/../../etc/x.md", "/etc//x", "/./etc/x", "reports/x.md\n", "reports\\..\\x.md", "/etc/"):
        assert policy.ruling("write", {"path": trick}).kind == "deny", trick


def test_ask_says_who_decides_how_many_and_until_when() -> None:
    ask = Ask(role="finance", quorum=2, four_eyes=True, hours=8, escalate_to="director", escalate_hours=4)
    requirement = Requirement("finance", "director", 4 * 3600)
    assert Policy({"pay": ask}).ruling("pay", {}) == Ruling(
        "ask", Authority((requirement,), 2, True), 8, "rule 1 of pay: whatever its arguments"
    )
    assert Ask().authority == Authority()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"hours": 0}, "hours are above 0"),
        ({"hours": -1}, "hours are above 0"),
        ({"hours": float("nan")}, "hours are above 0"),
        ({"hours": float("inf")}, "at most 100,000"),
        ({"hours": 100_001}, "at most 100,000"),
        ({"hours": True}, "hours are above 0"),
        ({"hours": "8"}, "hours are above 0"),
        ({"quorum": 0}, "quorum is a whole number"),
        ({"quorum": 101}, "quorum is a whole number"),
        ({"quorum": True}, "quorum is a whole number"),
        ({"quorum": 2.0}, "quorum is a whole number"),
        ({"four_eyes": 1}, "four_eyes is True or False"),
        ({"role": " "}, "is no role"),
        ({"role": "fin\nance"}, "is no role"),
        ({"role": None}, "is no role"),
        ({"role": "f" * 201}, "is no role"),
        ({"role": "a", "escalate_to": "b"}, "go together"),
        ({"role": "a", "escalate_hours": 4}, "go together"),
        ({"escalate_to": "b", "escalate_hours": 4}, "name both"),
        ({"role": "a", "escalate_to": "a", "escalate_hours": 4}, "name both"),
        ({"role": "a", "escalate_to": "b", "escalate_hours": 0}, "hours are above 0"),
        ({"role": "a", "escalate_to": "b", "escalate_hours": 8, "hours": 8}, "expires before it escalates"),
    ],
)
def test_an_ask_that_makes_no_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TeamError, match=problem) as caught:
        Ask(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: When("maybe", to="ann"), "'maybe'"),  # type: ignore[arg-type]  # what a user may write
        (lambda: When("allow"), "names no argument"),
        (lambda: When("allow", {}), "names no argument"),
        (lambda: When("allow", "ann"), "for which argument"),  # type: ignore[arg-type]  # what a user may write
        (lambda: When("allow", {"to": "ann"}, to="bob"), "twice"),
        (lambda: When("allow", {"order.": 5}), "'order.' is no argument"),
        (lambda: When("allow", {5: 5}), "5 is no argument"),  # type: ignore[dict-item]  # what a user may write
        (lambda: When("allow", to=["ann"]), "is no pattern"),  # type: ignore[arg-type]  # what a user may write
        (lambda: When(When("allow", to="ann"), to="ann"), "first"),  # type: ignore[arg-type]  # what a user may write
        (lambda: Policy({"pay": "sometimes"}), "is not 'allow', 'ask', 'deny'"),  # type: ignore[dict-item]  # same
        (lambda: Policy({"pay": ["allowed"]}), "is not 'allow', 'ask', 'deny'"),  # type: ignore[list-item]  # same
        (lambda: Policy({"pay": None}), "is not 'allow', 'ask', 'deny'"),  # type: ignore[dict-item]  # same
        (lambda: Policy({"pay": {"to": "ann"}}), "is not 'allow', 'ask', 'deny'"),  # type: ignore[dict-item]  # same
        (lambda: Policy({"pay": [["allow"]]}), "is not 'allow', 'ask', 'deny'"),  # type: ignore[list-item]  # same
        (lambda: Policy({"pay": []}), "there is no rule"),
        (lambda: Policy({"pay": ["ask", SMALL]}), "rule 2 can never hold"),
        (lambda: Policy({"pay": [SMALL, Ask(), "deny"]}), "rule 3 can never hold"),
        (lambda: Policy({"": "ask"}), "is no action"),
        (lambda: Policy("ask"), "by action"),  # type: ignore[arg-type]  # what a user may write
        (lambda: Policy(rate=20), "use Rate"),  # type: ignore[arg-type]  # what a user may write
        (lambda: Policy(rate=[Rate(1), 20]), "use Rate"),  # type: ignore[list-item]  # what a user may write
        (lambda: Rate(0), "at least 1"),
        (lambda: Rate(True), "at least 1"),
        (lambda: Rate(1.5), "at least 1"),  # type: ignore[arg-type]  # what a user may write
        (lambda: Rate(1, seconds=0), "seconds are above 0"),
        (lambda: Rate(1, seconds=float("nan")), "seconds are above 0"),
        (lambda: Rate(1, then="allow"), "'ask' or 'deny'"),  # type: ignore[arg-type]  # what a user may write
    ],
)
def test_a_policy_that_is_surely_a_mistake_is_refused(build: Any, problem: str) -> None:
    with pytest.raises(TeamError, match=problem) as caught:
        build()
    assert "\n" not in str(caught.value)


class Order(BaseModel):
    total: int


class Purchase(BaseModel):
    to: str
    order: Order


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


def actions(**arguments: type[BaseModel]) -> dict[str, Action[Any]]:
    return {
        name: Action(name=name, description="Does it.", arguments=model, call=lambda given, key: {})
        for name, model in arguments.items()
    }


def test_a_policy_that_fits_the_actions_passes_the_check() -> None:
    Policy({"buy": [When("allow", {"order.total": Below(5)}, to="ann"), "ask"]}).check(actions(buy=Purchase))
    Policy({"do": When("allow", whatever=1)}).check(actions(do=Anything, other=Purchase))
    Policy().check({})


@pytest.mark.parametrize("narrow", [lambda policy: policy, Policy({"buy": "ask"}).narrowed])
def test_a_policy_for_what_does_not_exist_fails_the_check(narrow: Any) -> None:
    with pytest.raises(TeamError, match="Policy names 'sell', which no agent of the team has among its actions"):
        narrow(Policy({"sell": "ask"})).check(actions(buy=Purchase))
    with pytest.raises(TeamError, match=r"'buy' names the argument 'euro\.total', .* it has to, order"):
        narrow(Policy({"buy": [When("deny", to="eve"), When("allow", {"euro.total": 5}), "ask"]})).check(
            actions(buy=Purchase)
        )


def test_a_narrowed_policy_is_the_stricter_of_both_and_says_why() -> None:
    team = Policy({"pay": [When("allow", euros=Below(100)), Ask(role="finance", hours=8)], "note": "allow"})
    writer = Policy({"pay": [When("deny", to="eve"), Ask(quorum=2, hours=4)], "wipe": "allow"})
    narrow = team.narrowed(writer)
    assert narrow.ruling("pay", {"to": "eve", "euros": 5}).why == "rule 1 of pay (narrowed): to is 'eve'"
    assert narrow.ruling("pay", {"to": "ann", "euros": 5}) == Ruling(
        "ask", Authority(quorum=2), 4, "rule 2 of pay (narrowed): whatever its arguments"
    )
    assert narrow.ruling("pay", {"to": "ann", "euros": 500}) == Ruling(
        "ask",
        Authority((Requirement("finance"),), 2),
        4,
        "rule 2 of pay: whatever its arguments; rule 2 of pay (narrowed): whatever its arguments",
    )


def test_what_a_narrowing_does_not_name_is_inherited_and_what_only_it_names_stays_denied() -> None:
    narrow = Policy({"note": "allow", "pay": "ask"}).narrowed(Policy({"pay": "allow", "wipe": "allow"}))
    assert [narrow.ruling(action, {}).kind for action in ("note", "pay", "wipe")] == ["allow", "ask", "deny"]


def test_a_narrowing_that_cannot_tell_denies() -> None:
    narrow = Policy({"pay": "allow"}).narrowed(Policy({"pay": [When("allow", to="ann"), "ask"]}))
    assert narrow.ruling("pay", {}).why == "rule 1 of pay (narrowed) cannot be told: to is missing"


def test_the_rates_of_all_hold() -> None:
    hourly, total, few = Rate(20, seconds=3600), Rate(100), Rate(3, then="deny")
    policy = Policy(rate=[hourly, total]).narrowed(Policy(rate=few)).narrowed(Policy(rate=hourly))
    assert policy.rates == (hourly, total, few)
    assert Policy().rates == ()
    assert [rate.describe() for rate in (hourly, Rate(1, then="deny"))] == [
        "at most 20 actions in 3600 seconds",
        "at most 1 action in one run",
    ]


def test_a_policy_does_not_change_once_it_is_made() -> None:
    rules: dict[str, Any] = {"pay": [When("ask", to="ann")]}
    policy = Policy(rules)
    rules["pay"].append("allow")
    rules["note"] = "allow"
    assert policy.ruling("pay", {"to": "bob"}).kind == policy.ruling("note", {}).kind == "deny"
    with pytest.raises(FrozenInstanceError):
        policy.rules = {}  # type: ignore[misc]  # what it must not take


def is_small(euros: Any) -> bool:
    return bool(euros < 5)


def test_a_policy_can_be_pickled_unless_it_holds_a_lambda() -> None:
    policy = Policy({"pay": [When("allow", euros=is_small), "ask"]}, rate=Rate(3)).narrowed(PAY)
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(Policy({"pay": When("allow", euros=lambda euros: True)}))


def test_a_policy_is_written_down_as_it_was_written() -> None:
    policy = Policy(
        {
            "pay": [When(Ask(role="finance"), {"order.total": Above(5)}, to=OneOf("ann", Not(None))), "ask"],
            "note": "allow",
        },
        rate=Rate(20, seconds=60),
    )
    text = (
        "Policy({'pay': [When(Ask(role='finance'), {'order.total': Above(limit=5)}, to=OneOf('ann', Not(None))), "
        "'ask'], 'note': 'allow'}, rate=Rate(count=20, seconds=60))"
    )
    assert repr(policy) == text
    assert repr(policy.narrowed(Policy({"pay": "ask"}))) == f"{text}.narrowed(Policy({{'pay': 'ask'}}))"
    assert repr(Policy()) == "Policy({})"


def test_a_function_is_asked_about_its_argument() -> None:
    policy = Policy({"pay": [When("allow", euros=is_small), When("deny", to=partial(str.startswith, "e")), "ask"]})
    assert policy.ruling("pay", {"euros": 4}).why == f"rule 1 of pay: euros satisfies {__name__}.is_small"
    assert policy.ruling("pay", {"euros": "4"}).why == (
        f"rule 1 of pay cannot be told: euros cannot be judged by {__name__}.is_small: it raised TypeError"
    )
