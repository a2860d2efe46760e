"""Patterns: what a policy says about the value of an argument.

A pattern fits, does not fit, or cannot tell. It says the last by raising Undecidable, so that nothing that combines
patterns can mistake it for either; policy takes it for a refusal. Limits cannot tell of what is no finite number, globs
and regular expressions of what is no text. `describe` puts a pattern in words, for an argument's name.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from signoff.error_base import TeamError
from signoff.graphs.errors import Undecidable

_KINDS = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


def kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "no JSON value")


@dataclass(frozen=True)
class Below:
    """Numbers less than this one, however far below zero."""

    limit: float

    def __post_init__(self) -> None:
        _check_limit(self, self.limit)

    def fits(self, value: Any) -> bool:
        return _number(value) < self.limit

    def describe(self, name: str) -> str:
        return f"{name} is below {self.limit}"


@dataclass(frozen=True)
class Above:
    """Numbers greater than this one."""

    limit: float

    def __post_init__(self) -> None:
        _check_limit(self, self.limit)

    def fits(self, value: Any) -> bool:
        return _number(value) > self.limit

    def describe(self, name: str) -> str:
        return f"{name} is above {self.limit}"


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_limit(self, self.low)
        _check_limit(self, self.high)
        if self.low > self.high:
            raise TeamError(f"{self!r} can never fit: name the lower number first.")

    def fits(self, value: Any) -> bool:
        return self.low <= _number(value) <= self.high

    def describe(self, name: str) -> str:
        return f"{name} is from {self.low} to {self.high}"


@dataclass(frozen=True)
class Glob:
    """Texts of this shape: `*` and `?` stand for letters other than `/`, `**` for any; case counts.

    `**/` at the start of a step also stands for nothing: `src/**/x` fits `src/x`. A text that may mean another path
    than it shows (`..`, `.`, `//`, `/` at the end, backslashes, control characters) cannot be told.
    """

    text: str

    def __post_init__(self) -> None:
        if found := re.search(r"[\[\]{}]|\*\*\*", self.text):
            raise TeamError(f"Pattern {self.text!r}: {found[0]!r} means nothing here. Use Matches(…), or Exactly(…).")
        if trick := trick_in(self.text):
            raise TeamError(f"Pattern {self.text!r} can never fit: it has {trick}. Use Matches(…), or Exactly(…).")

    def fits(self, value: Any) -> bool:
        text = _text(value)
        if trick := trick_in(text):
            raise Undecidable(f"has {trick}")
        return compile_glob(self.text).accepts(text)

    def describe(self, name: str) -> str:
        return f"{name} {'matches' if '*' in self.text or '?' in self.text else 'is'} {self.text!r}"

    def __repr__(self) -> str:
        return repr(self.text)


@dataclass(frozen=True)
class Matches:
    """Texts that this regular expression of Python matches in full; nothing is checked beyond that."""

    regex: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.regex)
        except (re.error, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TeamError(f"{self!r} is no regular expression: {error}.") from error
        if not isinstance(self.regex, str):
            raise TeamError(f"{self!r}: the regular expression is text.")

    def fits(self, value: Any) -> bool:
        return re.fullmatch(self.regex, _text(value)) is not None

    def describe(self, name: str) -> str:
        return f"{name} matches the regex {self.regex!r}"


@dataclass(frozen=True)
class Exactly:
    """This text, number, boolean or null and no other; True is not 1, and 1.0 is 1."""

    value: str | float | bool | None
    kind: str = field(init=False, repr=False)
    """Compared as well, for to Python True equals 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.value))
        if self.kind == "a number":
            _check_limit(self, self.value)
        elif self.kind not in ("text", "a boolean", "null"):
            raise TeamError(f"Exactly takes text, a number, True, False or None, not {type(self.value).__name__}.")

    def fits(self, value: Any) -> bool:
        """Whether it is this value; Undecidable if it is of another kind, unless null is asked for."""
        if self.value is None:
            return value is None
        if kind_of(value) != self.kind:
            raise Undecidable(f"is {kind_of(value)}, not {self.kind}")
        return bool((_number(value) if self.kind == "a number" else value) == self.value)

    def describe(self, name: str) -> str:
        return f"{name} is {'null' if self.value is None else repr(self.value)}"

    def __repr__(self) -> str:
        return f"Exactly({self.value!r})" if self.kind == "text" else repr(self.value)


@dataclass(frozen=True)
class Satisfies:
    """Values for which a function returns True."""

    function: Callable[[Any], bool]

    def __post_init__(self) -> None:
        if inspect.iscoroutinefunction(self.function):
            raise TeamError(f"Pattern {self!r} is a coroutine function; policy needs an ordinary one.")

    def fits(self, value: Any) -> bool:
        """What the function returns; Undecidable if it raises, or returns anything but True or False."""
        try:
            verdict = self.function(value)
        except Exception as error:  # somebody else's code: whatever it raises, it did not decide
            raise Undecidable(f"cannot be judged by {self!r}: it raised {type(error).__name__}") from error
        if type(verdict) is not bool:
            raise Undecidable(f"cannot be judged by {self!r}: it returned {type(verdict).__name__}, not bool")
        return verdict

    def describe(self, name: str) -> str:
        return f"{name} satisfies {self!r}"

    def __repr__(self) -> str:
        return _qualified_name(self.function)


@dataclass(frozen=True, init=False)
class OneOf:
    """Values that fit at least one of these."""

    alternatives: tuple[Pattern, ...]

    def __init__(self, *alternatives: Given) -> None:
        if not alternatives:
            raise TeamError("OneOf() can never fit: name at least one alternative.")
        object.__setattr__(self, "alternatives", tuple(as_pattern(given) for given in alternatives))

    def fits(self, value: Any) -> bool:
        """Whether one fits; Undecidable if none does and one cannot tell."""
        unclear: Undecidable | None = None
        for pattern in self.alternatives:
            try:
                if pattern.fits(value):
                    return True
            except Undecidable as error:
                unclear = unclear or error
        if unclear:
            raise unclear
        return False

    def describe(self, name: str) -> str:
        return f"({' or '.join(pattern.describe(name) for pattern in self.alternatives)})"

    def __repr__(self) -> str:
        return f"OneOf({', '.join(map(repr, self.alternatives))})"


@dataclass(frozen=True, init=False)
class Not:
    """Values that do not fit this; what it cannot tell stays untold."""

    pattern: Pattern

    def __init__(self, pattern: Given) -> None:
        object.__setattr__(self, "pattern", as_pattern(pattern))

    def fits(self, value: Any) -> bool:
        return not self.pattern.fits(value)

    def describe(self, name: str) -> str:
        described = self.pattern.describe(name)
        return f"not {described}" if isinstance(self.pattern, OneOf) else f"not ({described})"

    def __repr__(self) -> str:
        return f"Not({self.pattern!r})"


Pattern = Below | Above | Between | Glob | Matches | Exactly | Satisfies | OneOf | Not
"""Something that a value fits, does not fit, or cannot be told to."""

Given = Pattern | str | int | float | None | Callable[[Any], bool]
"""A pattern as it may be written: a text is a glob, a number, boolean or None itself, a function its own judge."""


def as_pattern(given: Given) -> Pattern:
    """The pattern that was meant; TeamError if that is none."""
    if isinstance(given, Pattern):
        return given
    if type(given) is str:
        return Glob(given)
    if given is None or isinstance(given, int | float):
        return Exactly(given)
    if callable(given) and not isinstance(given, type):
        return Satisfies(given)
    raise TeamError(f"{given!r:.200} is no pattern. Use text, a number, True, False, None, OneOf(…) or a function.")


def _number(value: Any) -> int | float:
    if kind_of(value) != "a number":
        raise Undecidable(f"is {kind_of(value)}, not a number")
    if not (-math.inf < value < math.inf):  # also false for NaN
        raise Undecidable("is no finite number")
    number: int | float = value
    return number


def _text(value: Any) -> str:
    if kind_of(value) != "text":
        raise Undecidable(f"is {kind_of(value)}, not text")
    return str(value)


def _check_limit(pattern: Any, limit: Any) -> None:
    if kind_of(limit) != "a number" or not -1e300 < limit < 1e300:  # also false for NaN
        raise TeamError(f"{type(pattern).__name__} takes a finite number, not {limit!r:.100}.")


def _qualified_name(function: Any) -> str:
    if isinstance(function, partial):
        return f"partial of {_qualified_name(function.func)}"
    named = function if hasattr(function, "__qualname__") else type(function)
    return ".".join(filter(None, (getattr(named, "__module__", None), named.__qualname__)))


_TRICKS = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"), "a line break or control character"),
    (re.compile(r"\\"), "a backslash"),
    (re.compile(r"(?:\A|/)\.\.?(?:/|\Z)"), "a '.' or '..' step"),
    (re.compile(r"//|/\Z"), "an empty step"),
)
"""What makes a text another path, or another line, to whoever reads it. Letters that only look alike are left alone."""


def trick_in(text: str) -> str:
    """What may make the text mean another than it shows, in words; empty if nothing does."""
    return next((words for trick, words in _TRICKS if trick.search(text)), "")


@lru_cache(maxsize=1024)
def compile_glob(glob: str) -> CompiledGlob:
    tokens = re.findall(r"(?:\A|(?<=/))(?=\*\*/)|\*\*|.", glob)  # an empty one before each `**/` that can be left out
    places = {token: sum(1 << place for place, found in enumerate(tokens) if found == token) for token in set(tokens)}
    single, within, across, optional = (places.pop(token, 0) for token in ("?", "*", "**", ""))
    return CompiledGlob(places, single, within, across, optional, 1 << len(tokens))


@dataclass(frozen=True)
class CompiledGlob:
    """A glob as sets of places in it, one bit each, so that time grows with the text only and never explodes."""

    letters: dict[str, int]
    """Places that want this letter."""
    single: int
    """Places of `?`."""
    within: int
    """Places of `*`."""
    across: int
    """Places of `**`."""
    optional: int
    """Places before a `**/` that can be left out."""
    end: int

    def accepts(self, text: str) -> bool:
        places = self._spread(1)
        for letter in text:
            inner = 0 if letter == "/" else -1
            stay = places & (self.across | self.within & inner)
            move = places & (self.letters.get(letter, 0) | self.single & inner)
            places = self._spread(stay | move << 1)
        return bool(places & self.end)

    def _spread(self, places: int) -> int:
        """These places, and those reached from them without a letter."""
        reached = 0
        while places != reached:
            reached = places
            skipped = places & self.optional
            places |= (places & (self.within | self.across)) << 1 | skipped << 1 | skipped << 3
        return places
