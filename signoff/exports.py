"""What a package offers: names that are loaded on first use, so that importing the package costs nothing.

A package writes them down once, where only type checkers import them, and `offer` reads them there:

    from signoff.exports import TYPE_CHECKING, offer

    if TYPE_CHECKING:
        from signoff.agents.agent import Agent as Agent
    offer(__name__)
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from typing import TYPE_CHECKING as TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import InspectLoader


def offer(package: str) -> None:
    """Load what this package imports for type checkers when it is asked for; `__all__` and `dir()` have it at once."""
    module = sys.modules[package]
    assert module.__spec__ is not None
    source = cast("InspectLoader", module.__spec__.loader).get_source(package)
    if source is None:
        raise ImportError(f"{package} is installed without its source, which says what it offers. Install it with.")
    homes = {
        alias.name: node.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(module, name, value)
        return value

    vars(module).update(__getattr__=load, __dir__=lambda: sorted({*vars(module), *homes}), __all__=sorted(homes))
