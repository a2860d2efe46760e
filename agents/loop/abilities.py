"""Which models have no tool calls, as found out in this process."""

from __future__ import annotations

import weakref
from typing import Any

from langchain_core.language_models import BaseChatModel

from signoff.agents.models.address import address_of

_served: set[str] = set()
_local: dict[int, weakref.ref[Any]] = {}


def lacks_tools(model: BaseChatModel) -> bool:
    """Whether it was found out that this model does not call tools."""
    kept = _local.get(id(model))
    return (kept is not None and kept() is model) or (bool(_served) and _name(model) in _served)


def note_no_tools(model: BaseChatModel) -> None:
    """This model does not call tools; nor does the same one behind the same endpoint."""
    name = _name(model)
    if name:
        _served.add(name)
    else:
        _local[id(model)] = weakref.ref(model)


def _name(model: BaseChatModel) -> str:
    """Endpoint and model; empty for a model within this process, which another may share its name with."""
    address = address_of(getattr(model, "chain", (model,))[0])
    return f"{address.endpoint} {address.model}" if address.endpoint else ""
