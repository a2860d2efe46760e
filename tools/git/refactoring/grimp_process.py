"""Reads imports with grimp: a program of its own, started by path, so that no module of a repository is imported here.

It is given `view` and `roots` as JSON on stdin, folders of packages, and prints what each module imports as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Unloadable(Loader):
    """Of modules that are looked at only."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        raise ImportError(f"{spec.name} is only looked at", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(f"{module.__name__} is only looked at", name=module.__name__)


class Finder(MetaPathFinder):
    """Says where the packages of a folder are, and lets none of them be imported."""

    def __init__(self, view: str, roots: Sequence[str]) -> None:
        self._view, self._roots = view, frozenset(roots)

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if fullname not in self._roots:
            return None
        folder = os.path.join(self._view, fullname)
        head = os.path.join(folder, "__init__.py")
        spec = ModuleSpec(fullname, Unloadable(), origin=head if os.path.exists(head) else None, is_package=True)
        spec.has_location = spec.origin is not None
        spec.submodule_search_locations = [folder]
        return spec


def main() -> int:
    """Print what each module imports; 1 and the reason if it cannot be known."""
    with suppress(ImportError, ValueError, OSError):  # where there are no such limits, or a lower one holds already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    import grimp

    asked = json.load(sys.stdin)
    roots = [root for root in asked["roots"] if root not in sys.modules]
    sys.meta_path.insert(0, Finder(asked["view"], roots))
    if not roots:
        sys.stdout.write("{}")
        return 0
    try:
        graph = grimp.build_graph(*roots, cache_dir=None)
    except Exception as error:  # whatever is wrong with the files
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 1
    found = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
