import pickle
import re
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import TeamError, Undecidable
from signoff.graphs.policy import patterns
from signoff.graphs.policy.patterns import Above, Below, Between, Exactly, Matches, Not, OneOf, as_pattern

NAN, INFINITE = float("nan"), float("inf")
WRONG_KINDS: list[Any] = [None, True, [1], {"a": 1}, (1,), object()]


def told(pattern: Any, value: Any) -> bool | None:
    """True or False, and None if it cannot be told."""
    try:
        return as_pattern(pattern).fits(value)
    except Undecidable:
        return None


def is_even(value: Any) -> bool:
    return bool(value % 2 == 0)


def divides(divisor: int, value: int) -> bool:
    return value % divisor == 0


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (Below(100), [99, 99.99, 0, -5], [100, 100.0, 101, 2**70]),
        (Above(100), [101, 100.01, 2**70], [100, 100.0, 99, -5]),
        (Between(1, 5), [1, 5, 1.0, 2.5], [0.99, 5.01, -3]),
        (Between(5, 5), [5, 5.0], [4, 6]),
    ],
)
def test_numbers_are_compared_as_the_name_says(pattern: Any, fitting: list[Any], others: list[Any]) -> None:
    assert {told(pattern, value) for value in fitting} == {True}
    assert {told(pattern, value) for value in others} == {False}


@pytest.mark.parametrize("pattern", [Below(100), Above(-100), Between(-100, 100), 1])
@pytest.mark.parametrize("value", [*WRONG_KINDS, False, "1", "", NAN, INFINITE, -INFINITE])
def test_what_is_no_finite_number_cannot_be_compared_with_one(pattern: Any, value: Any) -> None:
    assert told(pattern, value) is None
    assert told(Not(pattern), value) is None


@pytest.mark.parametrize(
    ("glob", "fitting", "others"),
    [
        ("ann", ["ann"], ["Ann", "ann ", "anna", "", "joann", "аnn"]),
        ("*", ["ann", "", "a b"], ["a/b", "/a"]),
        ("?", ["a", "ä", "x"], ["", "ab", "/a"]),
        ("*@example.com", ["ann@example.com", "@example.com"], ["ann@example.com.org", "a/b@example.com"]),
        ("reports/*.md", ["reports/a.md", "reports/.md"], ["reports/a/b.md", "reports/a.mdx", "/reports/a.md"]),
        ("reports/**", ["reports/a", "reports/a/b.md"], ["reports", "reportsx/a", "x/reports/a"]),
        ("reports/**/*.md", ["reports/a.md", "reports/a/b/c.md"], ["reports/a", "a.md"]),
        ("**/*.md", ["a.md", "a/b.md", "/a.md"], ["a.txt"]),
        ("/etc/**", ["/etc/passwd", "/etc/ssh/key"], ["/etc", "etc/passwd", "/home/etc/x"]),
        ("a**b", ["ab", "a/x/b", "axb"], ["a", "abc"]),
        ("**/**/x", ["x", "a/x", "a/b/c/x"], ["xx", "a/xx"]),
        ("", [""], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("(a|b)+$^", ["(a|b)+$^"], ["a", "b"]),
    ],
)
def test_a_text_is_a_glob_over_the_whole_value(glob: str, fitting: list[str], others: list[str]) -> None:
    assert {value: told(glob, value) for value in fitting} == dict.fromkeys(fitting, True)
    assert {value: told(glob, value) for value in others} == dict.fromkeys(others, False)


@pytest.mark.parametrize("glob", ["reports/*.md", "reports/**", "**", "*", "x.md", "/etc/**"])
@pytest.mark.parametrize(
    "trick",
    [
        "reports/../../etc/x.md",
        "reports/..",
        "..",
        ".",
        "./x.md",
        "reports/./x.md",
        "reports//x.md",
        "//etc/x.md",
        "reports/",
        "x.md/",
        "reports\\..\\x.md",
        "reports/x.md\n",
        "x.md\n",
        "reports/\tx.md",
        "reports/x\0.md",
        "reports/x\x7f.md",
        "reports/x\x85.md",
        "reports/x\u2028.md",
        "reports/x\ud800.md",
    ],
)
def test_a_text_that_may_mean_another_path_or_line_cannot_be_told(glob: str, trick: str) -> None:
    assert told(glob, trick) is None
    assert told(Not(glob), trick) is None


@pytest.mark.parametrize("value", ["reports/a..b.md", "reports/...md", "reports/.hidden", "reports/a b", "a…/ж"])
def test_dots_and_other_letters_inside_a_step_are_letters(value: str) -> None:
    assert told("**", value) is True


@pytest.mark.parametrize("value", [*WRONG_KINDS, 1, 1.5])
def test_a_text_pattern_cannot_tell_what_is_no_text(value: Any) -> None:
    for pattern in ("*", Matches(".*"), Exactly("x"), Not("x"), OneOf("x", "y")):
        assert told(pattern, value) is None


def as_regex(glob: str) -> str:
    """The glob as a regular expression, to compare with."""
    optional = re.sub(r"(?:(?<=/)|\A)\*\*/", "\0", glob)
    meaning = {"\0": "(?:(?s:.)*/)?", "**": "(?s:.)*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(token) or re.escape(token) for token in re.findall(r"\*\*|(?s:.)", optional))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", ".", "/", "*", "**", "?", "**/", "/**/"]), max_size=7).map("".join),
    st.text("ab./", max_size=10),
)
def test_globs_mean_what_the_same_regular_expression_means(glob: str, text: str) -> None:
    try:
        pattern = as_pattern(glob)
    except TeamError:
        return
    expected = re.fullmatch(as_regex(glob), text) is not None
    assert told(pattern, text) in (expected, None)
    assert (told(pattern, text) is None) == bool(re.search(r"(^|/)\.\.?(/|$)|//|/$", text))


def test_a_glob_takes_no_longer_than_the_text_is_long() -> None:
    started = time.perf_counter()
    assert told("**a" * 30 + "b", "a" * 20_000) is False
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("glob", ["file[0-9]", "a]", "*.{md,txt}", "***", "a\\*", "a/../b", "a//b", "/", "a/", "a\nb"])
def test_a_glob_that_could_never_fit_or_means_nothing_is_refused(glob: str) -> None:
    with pytest.raises(TeamError, match="Matches") as caught:
        as_pattern(glob)
    assert "\n" not in str(caught.value)


def test_a_regular_expression_matches_the_whole_text_and_nothing_else_is_checked() -> None:
    assert told(Matches("[a-z]+"), "ann") is True
    assert told(Matches("[a-z]+"), "ann\n") is False
    assert told(Matches("[a-z]+"), "ann2") is False
    assert told(Matches("(?s).*"), "../\n") is True


@pytest.mark.parametrize("regex", ["(", "*", None, 5, b"x", re.compile("x")])
def test_what_is_no_regular_expression_is_refused(regex: Any) -> None:
    with pytest.raises(TeamError, match="regular expression"):
        Matches(regex)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, 2, False),
        (1, True, None),
        (1, "1", None),
        (1, None, None),
        (0, False, None),
        (True, True, True),
        (True, False, False),
        (True, 1, None),
        (False, 0, None),
        (False, None, None),
        (True, "true", None),
        (None, None, True),
        (None, 0, False),
        (None, "", False),
        (None, [], False),
        (Exactly("a*/../b\n"), "a*/../b\n", True),
        (Exactly("a*"), "ab", False),
        (Exactly("1"), 1, None),
    ],
)
def test_a_plain_value_is_compared_by_value_and_kind(pattern: Any, value: Any, expected: bool | None) -> None:
    assert told(pattern, value) is expected


def test_one_of_fits_if_one_does_and_otherwise_asks_that_all_can_tell() -> None:
    assert told(OneOf("ann", "b*"), "bob") is True
    assert told(OneOf("ann", "bob"), "eve") is False
    assert told(OneOf(None, "ann"), None) is True
    assert told(OneOf(5, "auto"), "auto") is True
    assert told(OneOf(5, "auto"), "manual") is None
    assert told(OneOf("auto", 5), "manual") is None
    assert told(OneOf(is_even, "auto"), "auto") is True
    assert told(Not(OneOf("ann", 5)), "bob") is None
    assert told(Not(OneOf("ann", "bob")), "eve") is True
    assert told(OneOf(Not("ann"), Below(5)), "ann") is None
    assert told(Not(Not("ann")), "ann") is True


def test_a_function_decides_by_true_and_false_only() -> None:
    assert told(is_even, 4) is True
    assert told(is_even, 5) is False
    assert told(is_even, "5") is None, "it raises"
    assert told(lambda value: None, 4) is None
    assert told(lambda value: 1, 4) is None
    assert told(lambda value: "yes", 4) is None
    assert told(Not(partial(max, 0)), 4) is None
    assert told(partial(divides, 3), 9) is True


def test_a_function_that_raises_does_not_give_away_the_value() -> None:
    with pytest.raises(Undecidable) as caught:
        as_pattern(lambda value: int(value) > 1).fits("secret")
    assert "ValueError" in str(caught.value)
    assert "secret" not in str(caught.value)


async def later(value: Any) -> bool:
    return True


@pytest.mark.parametrize("given_", [bool, Below, ["ann"], {"a": 1}, b"x", object(), (1, 2), {1}, later])
def test_what_is_no_pattern_is_refused_wherever_it_stands(given_: Any) -> None:
    for build in (as_pattern, Not, OneOf):
        with pytest.raises(TeamError):
            build(given_)


@pytest.mark.parametrize("number", [NAN, INFINITE, True, "5", None, 10**400])
def test_a_limit_is_a_finite_number(number: Any) -> None:
    for build in (Below, Above, partial(Between, 0), lambda high: Between(high, 10)):
        with pytest.raises(TeamError, match="finite number"):
            build(number)


def test_patterns_that_can_never_fit_are_refused() -> None:
    with pytest.raises(TeamError, match="lower number first"):
        Between(5, 1)
    with pytest.raises(TeamError, match="at least one"):
        OneOf()
    for number in (NAN, INFINITE):
        with pytest.raises(TeamError, match="finite number"):
            as_pattern(number)
    with pytest.raises(TeamError, match="Exactly takes"):
        Exactly(["ann"])  # type: ignore[arg-type]  # what a user may write


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (Below(100), "x is below 100"),
        (Above(0.5), "x is above 0.5"),
        (Between(1, 5), "x is from 1 to 5"),
        ("ann", "x is 'ann'"),
        ("reports/*", "x matches 'reports/*'"),
        (Matches("a+"), "x matches the regex 'a+'"),
        (True, "x is True"),
        (None, "x is null"),
        (Exactly("a*"), "x is 'a*'"),
        (OneOf("ann", None), "(x is 'ann' or x is null)"),
        (Not("ann"), "not (x is 'ann')"),
        (Not(OneOf("ann", 5)), "not (x is 'ann' or x is 5)"),
        (is_even, f"x satisfies {__name__}.is_even"),
        (partial(divides, 3), f"x satisfies partial of {__name__}.divides"),
        ("abc".startswith, "x satisfies str.startswith"),
    ],
)
def test_a_pattern_describes_itself(pattern: Any, words: str) -> None:
    assert as_pattern(pattern).describe("x") == words


@pytest.mark.parametrize(
    "pattern",
    [Below(1), Between(1, 2.5), as_pattern("a/*"), Matches("a"), OneOf("a", 1, None, True), Not(1), Exactly("[a]")],
)
def test_a_pattern_can_be_copied_by_pickle_and_written_down(pattern: Any) -> None:
    assert pickle.loads(pickle.dumps(pattern)) == pattern
    written = eval(repr(pattern), vars(patterns))
    assert as_pattern(written) == pattern


def test_patterns_of_different_kinds_are_not_equal() -> None:
    assert as_pattern(1) != as_pattern(True)
    assert OneOf(0) != OneOf(False)
    assert as_pattern("a") != Exactly("a")
