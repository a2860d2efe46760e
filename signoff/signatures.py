"""Signatures that are known: LangChain works out those of a method anew whenever it is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Signature, signature
from typing import Any, get_type_hints


class Signed:
    """A method that knows its signature, and the types in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        own, *others = signature(function).parameters.values()
        del own
        self._signature = Signature(others)
        function.__annotations__ = get_type_hints(function)

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self._function
        method = partial(self._function, instance)
        method.__signature__ = self._signature  # type: ignore[attr-defined]  # what `inspect` looks for first
        return method
