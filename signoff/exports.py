"""What a package offers: names that are loaded on first use, so that importing the package costs nothing.

A package writes them down once, for type checkers, and this reads them there:

    if TYPE_CHECKING:
        from signoff.agents.agent import Agent as Agent
    else:
        __getattr__, __dir__, __all__ = lazy_exports(__name__)

In the branch that type checkers do not read, so that they find a name that is not offered.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import InspectLoader
from typing import Any, cast


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` for this package, whose `if TYPE_CHECKING:` names what it offers."""
    module = sys.modules[package]
    assert module.__spec__ is not None
    source = cast(InspectLoader, module.__spec__.loader).get_source(package)
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

    return load, lambda: sorted({*vars(module), *homes}), sorted(homes)
