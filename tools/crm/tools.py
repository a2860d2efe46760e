"""The action that writes one row to a CRM: once, known again by its key, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signoff.checkpoints import digest
from signoff.tools.action import Action, Touches
from signoff.tools.crm.row import CRM, Change, Record, Row
from signoff.tools.errors import ActionFailed, CrmFailed
from signoff.wording import as_code

UPSERT: Final = "crm_upsert"


def upsert_action(crm: CRM, *, name: str = UPSERT) -> Action[Row]:
    """The action; what it returns tells what the write did, and the digest of what is read back afterwards.

    Its outcome is `failed` where the CRM refused the row: nothing was written.
    """

    def call(row: Row, _key: str) -> Mapping[str, Any]:
        try:
            (written,) = crm.upsert([row])
        except CrmFailed as error:
            if error.sure:
                raise ActionFailed(name, str(error)) from error
            raise
        if written.change == "refused":
            raise ActionFailed(name, f"{crm.name} refused {row.name}: {written.problem}")
        return told(row, written.change)

    def read_back(row: Row, _key: str) -> Mapping[str, Any] | None:
        found = crm.find([row.key], list(row.properties)).get(row.key)
        if found is None or not found.holds(row):
            return None
        return _result(row, "updated" if found.before else "created", found)

    def told(row: Row, change: Change) -> Mapping[str, Any]:
        found = crm.find([row.key], list(row.properties)).get(row.key)
        return _result(row, change, found)

    return Action(
        name=name,
        description=f"Writes one row to the CRM {crm.name}, under its key: creates it, or updates what is there.",
        arguments=Row,
        call=call,
        risk="external" if crm.host else "write",
        touches=Touches(hosts=(crm.host,), writes=()) if crm.host else Touches(writes=(crm.name,)),
        idempotent=True,
        reconcile=read_back,
        preview=_preview,
        fixed=frozenset({"key"}),
    )


def _result(row: Row, change: Change, found: Record | None) -> dict[str, Any]:
    """What was done, and whether it reads back as it was approved."""
    kept = {name: found.properties.get(name, "") for name in row.properties} if found is not None else {}
    back = digest({"key": row.key, "properties": kept})
    return {
        "change": change,
        "id": found.id if found is not None else "",
        "name": row.name,
        "key": row.key,
        "sha256": row.sha256,
        "read_back": back,
        "differs": [name for name in row.properties if kept.get(name, "") != row.properties[name]],
    }


def _preview(row: Row) -> str:
    lines = [f"- {as_code(name)}: {as_code(value)}" for name, value in row.properties.items()]
    return "\n".join([f"Writes the row {as_code(row.name)} (key `{row.key}`):", "", *lines])
