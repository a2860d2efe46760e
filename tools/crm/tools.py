"""Actions that write one row to a CRM: once, known again by its key, read back, and to nobody who does not want it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from pydantic import Field

from signoff.checkpoints import digest
from signoff.settings import Settings
from signoff.tools.action import Action, Touches
from signoff.tools.crm.connecting import UPSERT, Kind, open_crm
from signoff.tools.crm.row import CRM, Change, Record, Row, Written
from signoff.tools.errors import ActionFailed, ActionPostponed, CrmFailed
from signoff.wording import as_code

CANCELLED: Final = "cancelled"
"""The `status` of a row that takes something back: it may be written whoever it is about."""
SENT: Final = "sent"
_FIXED: Final = frozenset({"key", "before", "crm", "suppress"})
"""What no person edits."""

R = TypeVar("R", bound=Row)
Send = Callable[[Row], Mapping[str, Any]]
"""Sends what a row says; ActionFailed if it surely did not."""


class AddressedRow(Row):
    """A row, and the CRM that it is for."""

    crm: str = Field(description="Where it is written: a file, or the address of a server")
    suppress: str = Field(default="", description="File of those who are not to be written to")

    def changed(self, **properties: str) -> Self:
        """The same with other values of some properties."""
        return self.model_copy(update={"properties": {**self.properties, **properties}})


def upsert_action(crm: CRM, *, name: str = UPSERT) -> Action[Row]:
    """The action that writes rows to this CRM. Its outcome is `failed` where the CRM refused: nothing was written.

    What it returns tells what the write did (`change`), and the digest of what is read back afterwards (`read_back`).
    """
    touches = Touches(hosts=(crm.host,)) if crm.host else Touches(writes=(crm.name,))
    description = f"Writes one row to the CRM {crm.name}, under its key: creates it, or updates what is there."
    return _action(Row, lambda _row: crm, name=name, description=description, touches=touches)


def addressed_upsert(settings: Settings, *, name: str, kind: Kind, description: str) -> Action[AddressedRow]:
    """The action that writes rows to the CRM that each names, unless it is about somebody on its suppression list.

    The list is read when it is done: whoever was added since is not written to any more.
    """
    return _action(AddressedRow, lambda row: open_crm(row.crm, settings, kind), name=name, description=description)


def sending(settings: Settings, send: Send, *, name: str, kind: Kind) -> Action[AddressedRow]:
    """The action that sends what a row says, once, and writes down that it was: its `status` is `sent`."""

    def call(row: AddressedRow, _key: str) -> Mapping[str, Any]:
        _check_allowed(name, row)
        crm = open_crm(row.crm, settings, kind)
        found = _looked_up(name, crm, row)
        if found is not None and found.properties.get("status") in (SENT, CANCELLED):
            raise ActionFailed(name, f"it is {found.properties['status']} already")
        if (other := Written.changed_meanwhile(row, found)) is not None:
            raise ActionFailed(name, other.problem)
        told = dict(send(row))
        crm.upsert([row.model_copy(update={"before": None})])
        return told

    def read_back(row: AddressedRow, _key: str) -> Mapping[str, Any]:
        found = _kept(open_crm(row.crm, settings, kind), row)
        if found is None or not found.holds(row):
            raise CrmFailed(row.crm, "that it was sent is not written down")  # only a person can know
        return {"status": SENT}

    return Action(
        name=name,
        description="Sends one message.",
        arguments=AddressedRow,
        call=call,
        risk="irreversible",
        reconcile=read_back,
        preview=_preview,
        fixed=_FIXED,
    )


def suppressed(path: str) -> frozenset[str]:
    """The names and domains in a file, one on each line; OSError or UnicodeDecodeError if it cannot be read."""
    lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines() if path else []
    return frozenset(entry.casefold() for line in lines if (entry := line.partition("#")[0].strip()))


def names_suppressed(payload: Any, entries: frozenset[str]) -> str:
    """The entry that anything in an outgoing payload names, also as a part of an address; empty if none does."""
    said = "\n".join(_texts(payload)).casefold()
    plain = re.sub(r"[-_.]+", "-", said)
    for entry in sorted(entries):
        for text, name in ((said, entry), (plain, re.sub(r"[-_.]+", "-", entry))):
            if re.search(rf"(?<![\w-])(?:[\w-]+\.)*{re.escape(name)}(?![\w-])", text):
                return entry
    return ""


def _texts(payload: Any) -> Iterator[str]:
    if isinstance(payload, Mapping):
        for value in payload.values():
            yield from _texts(value)
    elif isinstance(payload, list | tuple):
        for value in payload:
            yield from _texts(value)
    elif isinstance(payload, str):
        yield payload


def _check_allowed(name: str, row: AddressedRow) -> None:
    """ActionFailed if what goes out names somebody who is not to be written to, or if that cannot be told."""
    if row.properties.get("status") == CANCELLED:
        return
    try:
        entries = suppressed(row.suppress)
    except (OSError, UnicodeDecodeError) as error:
        raise ActionFailed(name, f"the suppression list {row.suppress!r} cannot be read: {error}") from error
    if entry := names_suppressed([row.name, row.properties], entries):
        raise ActionFailed(name, f"{row.name} is not written to: {entry!r} is on the suppression list")


def _kept(crm: CRM, row: Row) -> Record | None:
    """The row as it stands in the CRM; None if it does not."""
    return crm.find([row.key], list(row.properties)).get(row.key)


def _looked_up(name: str, crm: CRM, row: Row) -> Record | None:
    try:
        return _kept(crm, row)
    except CrmFailed as error:
        raise _undone(name, error) from error


def _undone(name: str, error: CrmFailed) -> ActionFailed:
    """What surely was not written: for the row's sake, or because nothing can be written there now."""
    return ActionFailed(name, str(error)) if error.of_row else ActionPostponed(name, str(error))


def _action(
    arguments: type[R], crm_of: Callable[[R], CRM], *, name: str, description: str, touches: Touches | None = None
) -> Action[R]:
    def call(row: R, _key: str) -> Mapping[str, Any]:
        if isinstance(row, AddressedRow):
            _check_allowed(name, row)
        crm = crm_of(row)
        try:
            (written,) = crm.upsert([row])
        except CrmFailed as error:
            if error.sure:
                raise _undone(name, error) from error
            raise
        if written.change == "refused":
            raise ActionFailed(name, f"{crm.name} refused {row.name}: {written.problem}")
        return _told(row, written.change, _kept(crm, row))

    def read_back(row: R, _key: str) -> Mapping[str, Any] | None:
        found = _kept(crm_of(row), row)
        if found is None or not found.holds(row):
            return None
        return _told(row, "updated" if found.before else "created", found)

    return Action(
        name=name,
        description=description,
        arguments=arguments,
        call=call,
        risk="external",
        touches=touches or Touches(),
        idempotent=True,
        reconcile=read_back,
        preview=_preview,
        fixed=_FIXED & arguments.model_fields.keys(),
    )


def _told(row: Row, change: Change, found: Record | None) -> dict[str, Any]:
    """What was done, and whether it reads back as it was approved."""
    kept = {name: found.properties.get(name, "") for name in row.properties} if found is not None else {}
    return {
        "change": change,
        "id": found.id if found is not None else "",
        "name": row.name,
        "key": row.key,
        "sha256": row.sha256,
        "read_back": digest({"key": row.key, "properties": kept}),
        "differs": [name for name in row.properties if kept.get(name, "") != row.properties[name]],
    }


def _preview(row: Row) -> str:
    where = f" in {as_code(row.crm)}" if isinstance(row, AddressedRow) else ""
    lines = list[str]()
    for name, value in row.properties.items():
        was = (row.before or {}).get(name, "")
        if value or was:
            now = as_code(value) if value else "nothing"
            lines.append(
                f"- {as_code(name)}: {now}" + (f", until now {as_code(was)}" if was not in ("", value) else "")
            )
    return "\n".join([f"{as_code(row.name)}{where}, under the key `{row.key[:12]}…`:", "", *lines])
