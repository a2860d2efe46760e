"""The action that saves a file of a workspace, just as it was when that was proposed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from signoff.tools.action import Action, Touches, completed
from signoff.tools.errors import ActionFailed, BlobMissing, FileRefused
from signoff.tools.files.self_running import warn_of_running
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder, lies_in, parts
from signoff.tools.storage.file_names import check_places
from signoff.tools.storage.workspaces import Workspaces
from signoff.wording import as_block, as_code, as_words, make_visible

NAME: Final = "save_from_workspace"
SHOWN: Final = 50_000
"""Characters of a text that the person who decides is shown here; the rest is in the kept file."""
_KINDS: Final = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive, or an Office document", b"\x1f\x8b": "a gzip archive", b"PAR1": "a Parquet table",
    b"\x7fELF": "a program", b"SQLite format 3": "an SQLite database",
}  # fmt: skip


class Saved(BaseModel):
    """A file of the workspace and where it goes. Digest and size are read when it is proposed, and bind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="File in the workspace, such as 'out/result.csv'")
    destination: str = Field(description="Where to save it, a path that starts from the project's folder")
    sha256: SkipJsonSchema[str] = Field(pattern="^[0-9a-f]{64}$")
    size: SkipJsonSchema[int] = Field(ge=0)


def save_from_workspace(workspaces: Workspaces, blobs: Blobs, folder: Path | None = None) -> Action[Saved]:
    """The action that saves a file of the workspace in the folder, which its path cannot leave; here if not said.

    What is saved are the bytes that were there when it was proposed, whatever became of the workspace since.
    """
    saving = _Saving(Path(folder or ".").absolute(), workspaces, blobs)

    return Action(
        name=NAME,
        description="Save a file of the workspace in the project's folder.",
        arguments=completed(Saved, saving.fill_in, name="FromWorkspace", about="A file of the run's workspace."),
        call=saving.save,
        risk="write",
        touches=Touches(writes=(str(saving.base),)),
        idempotent=True,
        reconcile=saving.read_back,
        preview=saving.preview,
        fixed=frozenset({"path", "sha256", "size"}),
    )


@dataclass(frozen=True)
class _Saving:
    """The action in one folder."""

    base: Path
    workspaces: Workspaces
    blobs: Blobs

    def fill_in(self, values: Any) -> Any:
        """Digest and size of the file as it is now, where they are not said."""
        if not isinstance(values, Mapping) or "sha256" in values:
            return values
        if set(values) != {"path", "destination"}:
            raise ValueError("it takes a path and a destination, both of them and nothing else")
        path = str(values["path"]).removeprefix("/work/")
        try:
            raw = ConfinedFolder(self.workspaces.current()).read(path)
        except FileRefused as error:
            raise ValueError(f"the file of the workspace cannot be read: {error}") from error
        return {**values, "path": path, "sha256": self.blobs.keep(raw), "size": len(raw)}

    def save(self, saved: Saved, _key: str) -> Mapping[str, Any]:
        """Write the bytes that were meant when it was proposed."""
        try:
            self._check(saved)
            ConfinedFolder(self.base).write(saved.destination, self._content(saved), lasting=True)
        except FileRefused as error:
            raise ActionFailed(NAME, f"{error} in {str(self.base)!r}. Nothing was changed.") from error
        return self._result(saved)

    def read_back(self, saved: Saved, _key: str) -> Mapping[str, Any] | None:
        try:
            there = self._there(saved.destination)
        except FileRefused as error:
            raise ActionFailed(NAME, f"{error} in {str(self.base)!r}, so that it cannot be read back.") from error
        is_saved = there is not None and hashlib.sha256(there).hexdigest() == saved.sha256
        return self._result(saved) if is_saved else None

    def preview(self, saved: Saved) -> str:
        """Where it goes, what becomes of the file there, and the text or what else it is."""
        try:
            self._check(saved)
            raw, there = self._content(saved), self._there(saved.destination)
        except (ActionFailed, FileRefused) as error:
            return f"**This cannot be saved.** {as_words(str(error))}"
        target = as_code(str(self.base / saved.destination))
        head = f"Saves {as_code(saved.path)} of the workspace as {target} ({saved.size:,} bytes)."
        warning = warn_of_running([saved.path, saved.destination])
        parts = [warning, f"{head} {_replaced(there, raw)}", _show(raw, self.blobs.path(saved.sha256))]
        return "\n\n".join(part for part in parts if part)

    def _content(self, saved: Saved) -> bytes:
        try:
            raw = self.blobs.read(saved.sha256)
        except BlobMissing as error:
            raise ActionFailed(NAME, f"{error} Nothing was changed.") from error
        if len(raw) != saved.size:
            raise ActionFailed(NAME, f"the file has {len(raw):,} bytes, not {saved.size:,}. Nothing was changed.")
        return raw

    def _check(self, saved: Saved) -> None:
        check_places(self.base, [saved.destination])
        if lies_in(self.base.joinpath(*parts(saved.destination)), self.workspaces.folder.parent):
            raise FileRefused(saved.destination, "it is where signoff keeps its own files")

    def _there(self, path: str) -> bytes | None:
        """The file that is there now; None if there is none that could be it."""
        try:
            return ConfinedFolder(self.base).read(path)
        except FileRefused as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _result(self, saved: Saved) -> Mapping[str, Any]:
        return {"path": str(self.base / saved.destination), "bytes": saved.size, "sha256": saved.sha256}


def _replaced(old: bytes | None, new: bytes) -> str:
    if old is None:
        return "The file is new."
    if old == new:
        return "The file is there already with just this content."
    return f"It **replaces** the file that is there ({len(old):,} bytes)."


def _show(raw: bytes, kept: Path) -> str:
    """The text, all of it if it is not too long; of anything else what it is, and where it can be looked at."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        kind = next((kind for start, kind in _KINDS.items() if raw.startswith(start)), "no text")
        return f"It is {kind}; look at it before you decide: {as_code(str(kept))}"
    block = as_block(make_visible(text[:SHOWN]))
    if len(text) <= SHOWN:
        return block
    return f"{block}\n\nThese are the first {SHOWN:,} of {len(text):,} characters; all of it: {as_code(str(kept))}"
