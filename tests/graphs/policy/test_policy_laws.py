"""Policy against an evaluator of its own, and the laws of narrowing, for random rules and arguments."""

import re
from itertools import product
from typing import Any

from hypothesis import given, settings, strategies as st

from signoff import Policy
from signoff.graphs.policy.patterns import Above, Below, Between, Matches, Not, OneOf
from signoff.graphs.policy.policy import Rate, Ruling
from signoff.graphs.policy.rules import Ask, When

LONG = settings(max_examples=60, deadline=None)
STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
ACTIONS = ["pay", "note", "wipe"]
NAMES = ["to", "euros", "path", "order.total"]

Spec = tuple[Any, ...]
"""A pattern as the test's own evaluator reads it: its kind, then its parts."""


def picky(value: Any) -> bool:
    if isinstance(value, str):
        raise ValueError(value)
    return value if value is None else bool(value)  # type: ignore[return-value]  # None is no bool, that is the point


def build(spec: Spec) -> Any:
    kind, *parts = spec
    makers: dict[str, Any] = {"below": Below, "above": Above, "between": Between, "matches": Matches}
    if kind in makers:
        return makers[kind](*parts)
    if kind == "not":
        return Not(build(parts[0]))
    if kind == "one of":
        return OneOf(*(build(part) for part in parts[0]))
    return picky if kind == "function" else parts[0]


def verdict(spec: Spec, value: Any) -> bool | None:
    """Whether the value fits; None if that cannot be told."""
    kind, *parts = spec
    if kind == "not":
        inner = verdict(parts[0], value)
        return None if inner is None else not inner
    if kind == "one of":
        found = {verdict(part, value) for part in parts[0]}
        return True if True in found else None if None in found else False
    if kind == "function":
        return None if value is None or isinstance(value, str) else bool(value)
    if kind == "plain" and parts[0] is None:
        return value is None
    if kind == "plain" and isinstance(parts[0], bool):
        return value is parts[0] if isinstance(value, bool) else None
    if kind in ("glob", "matches"):
        return text_verdict(kind, parts[0], value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        return None
    if kind == "plain":
        return bool(value == parts[0])
    if kind == "between":
        return bool(parts[0] <= value <= parts[1])
    return bool(value < parts[0]) if kind == "below" else bool(value > parts[0])


def text_verdict(kind: str, shape: str, value: Any) -> bool | None:
    if not isinstance(value, str):
        return None
    if kind == "matches":
        return re.fullmatch(shape, value) is not None
    steps = value.split("/")[value.startswith("/") :]
    if (
        {".", ".."} & set(steps)
        or ("" in steps and value)
        or any(ord(letter) < 32 or letter == "\\" for letter in value)
    ):
        return None
    regex = re.escape(shape).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(regex, value) is not None


GLOBS = ["ann", "*", "a*", "reports/*", "reports/**", "/etc/**", "**.md", ""]
TEXTS = ["ann", "a", "", "eve", "reports/x.md", "reports/a/x.md", "/etc/x", "/", "reports/../x.md", "reports//x"]
TEXTS += ["reports/x.md\n", "reports\\x", "..", "reports/.", "аnn", "ann ", "ANN", "1"]
NUMBERS: list[Any] = [0, 1, 5, 100, -3, 1.0, 99.5, 2**70, -0.0]

FLAT: list[Spec] = [
    *(("glob", glob) for glob in GLOBS),
    *(("plain", value) for value in (0, 1, 5.0, True, False, None)),
    *((kind, limit) for kind in ("below", "above") for limit in (0, 99.5)),
    *(("matches", regex) for regex in (".*", "a.*", "(?s).*")),
    ("between", 0, 5),
    ("function",),
]
NOT: list[Spec] = [("not", spec) for spec in FLAT]
PAIRS: list[Spec] = [("one of", pair) for pair in product([*FLAT, *NOT], FLAT)]
SPECS = [*FLAT, *NOT, *PAIRS, *(("not", pair) for pair in PAIRS)]

specs = st.sampled_from(FLAT) | st.sampled_from(SPECS)
asks = st.builds(
    Ask,
    role=st.sampled_from(["", "finance", "legal"]),
    quorum=st.integers(1, 3),
    four_eyes=st.booleans(),
    hours=st.sampled_from([None, 1, 8]),
)
verdicts = st.one_of(st.sampled_from(["allow", "allow", "ask", "deny"]), asks)
whens = st.tuples(verdicts, st.dictionaries(st.sampled_from(NAMES), specs, min_size=1, max_size=3))
rule_lists = st.tuples(st.lists(whens, max_size=4), st.one_of(st.none(), verdicts)).filter(lambda rules: any(rules))
drafts = st.dictionaries(st.sampled_from(ACTIONS), rule_lists, max_size=3)
"""Policies before they are built: per action, the specs of its rules and what holds for the rest."""

json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
common = st.sampled_from(
    [*TEXTS, *NUMBERS, True, False, None, float("nan"), float("inf"), [], {}, ["ann"], {"total": 5}]
)
values = common | common | json
arguments = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "to": values,
            "euros": values,
            "path": values,
            "order": values | st.fixed_dictionaries({"total": values}),
        },
    ),
    values,
)
rates = st.lists(st.builds(Rate, st.integers(1, 3), then=st.sampled_from(["ask", "deny"])), max_size=2)


def policy_of(draft: dict[str, Any], limits: Any = ()) -> Policy:
    rules: dict[str, Any] = {}
    for action, (found, rest) in draft.items():
        built = [When(then, {name: build(spec) for name, spec in specs.items()}) for then, specs in found]
        rules[action] = [*built, *([rest] if rest is not None else [])]
    return Policy(rules, rate=limits)


def policies() -> Any:
    return st.builds(policy_of, drafts, rates)


def expected(draft: dict[str, Any], action: str, args: Any) -> Any:
    """What the rules of an action say, by the test's own evaluator."""
    found, rest = draft.get(action, ([], "deny"))
    for then, specs in found:
        told = {verdict(spec, looked_up(args, name)) if has(args, name) else None for name, spec in specs.items()}
        if False not in told:
            return "deny" if None in told else then
    return "deny" if rest is None else rest


def has(args: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(args, dict) or part not in args:
            return False
        args = args[part]
    return True


def looked_up(args: Any, name: str) -> Any:
    for part in name.split("."):
        args = args[part]
    return args


def is_as_strict(one: Ruling, other: Ruling) -> bool:
    if one.kind != other.kind or one.kind != "ask":
        return STRICTNESS[one.kind] >= STRICTNESS[other.kind]
    sooner = other.hours is None or (one.hours is not None and one.hours <= other.hours)
    return sooner and one.authority.covers(other.authority)


def same(one: Ruling, other: Ruling) -> bool:
    return is_as_strict(one, other) and is_as_strict(other, one)


def essence(ruling: Ruling) -> Any:
    """A ruling without the order in which its parts came together."""
    authority = ruling.authority
    return ruling.kind, set(authority.requirements), authority.quorum, authority.four_eyes, ruling.hours


@settings(LONG, max_examples=150)
@given(drafts, st.sampled_from(ACTIONS), arguments)
def test_a_ruling_is_what_the_first_rule_says_that_is_not_surely_unfit(draft: Any, action: str, args: Any) -> None:
    ruling = policy_of(draft).ruling(action, args)
    said = expected(draft, action, args)
    asked = Ask() if said == "ask" else said
    if isinstance(asked, Ask):
        assert (ruling.kind, ruling.authority, ruling.hours) == ("ask", asked.authority, asked.hours)
    else:
        assert ruling.kind == asked
    assert ruling.why
    assert "\n" not in ruling.why


@settings(LONG, max_examples=150)
@given(whens, arguments, st.sampled_from(NAMES))
def test_no_rule_allows_or_asks_where_an_argument_it_names_is_missing(rule: Any, args: Any, name: str) -> None:
    then, specs = rule
    named = {name: spec for name, spec in specs.items() if not has(args, name)}
    if named:
        assert policy_of({"pay": ([(then, named)], "allow")}).ruling("pay", args).kind == "deny"


@LONG
@given(policies(), policies(), st.sampled_from(ACTIONS), arguments)
def test_narrowing_never_widens(parent: Any, child: Any, action: str, args: Any) -> None:
    narrow = parent.narrowed(child).ruling(action, args)
    assert is_as_strict(narrow, parent.ruling(action, args))
    if action in child.rules:
        assert is_as_strict(narrow, child.ruling(action, args))
    else:
        assert narrow == parent.ruling(action, args)
    assert set(parent.narrowed(child).rates) == {*parent.rates, *child.rates}


@LONG
@given(policies(), policies(), policies(), st.sampled_from(ACTIONS), arguments)
def test_narrowing_is_associative(one: Any, two: Any, three: Any, action: str, args: Any) -> None:
    left, right = one.narrowed(two).narrowed(three), one.narrowed(two.narrowed(three))
    assert left == right
    assert left.ruling(action, args) == right.ruling(action, args)
    assert left.rates == right.rates


@LONG
@given(policies(), policies(), st.sampled_from(ACTIONS), arguments)
def test_narrowing_is_idempotent_and_an_empty_policy_narrows_nothing(
    one: Any, two: Any, action: str, args: Any
) -> None:
    once = one.narrowed(two)
    assert essence(one.narrowed(one).ruling(action, args)) == essence(one.ruling(action, args))
    assert essence(once.narrowed(two).ruling(action, args)) == essence(once.ruling(action, args))
    assert essence(once.narrowed(one).ruling(action, args)) == essence(once.ruling(action, args))
    assert one.narrowed(one).rates == one.rates
    assert one.narrowed(Policy()).ruling(action, args) == one.ruling(action, args)
    assert Policy().narrowed(one).ruling(action, args).kind == "deny"


@LONG
@given(drafts, policies(), policies(), arguments)
def test_the_order_of_narrowings_does_not_matter(base: Any, one: Any, two: Any, args: Any) -> None:
    parent = policy_of(base)
    for action in ACTIONS:
        left, right = parent.narrowed(one).narrowed(two), parent.narrowed(two).narrowed(one)
        assert essence(left.ruling(action, args)) == essence(right.ruling(action, args))
        if action in one.rules and action in two.rules:
            both, reverse = one.narrowed(two), two.narrowed(one)
            assert essence(both.ruling(action, args)) == essence(reverse.ruling(action, args))
