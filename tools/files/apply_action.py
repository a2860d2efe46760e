"""The action that applies to a project exactly the patch of a run's copy that a person was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from signoff.checkpoints import canonical_json
from signoff.tools.action import Action, Touches, completed
from signoff.tools.errors import (
    ActionFailed,
    BlobMissing,
    FileRefused,
    HalfApplied,
    PatchMisfit,
    ProjectUnusable,
)
from signoff.tools.files.apply import EXECUTABLE, Version, apply_patch, make_patch, paths_of, write_all
from signoff.tools.files.copying import is_made
from signoff.tools.files.patch import count_lines
from signoff.tools.files.project import Project, WorkCopy, read_version, write_version
from signoff.tools.files.self_running import warn_of_running
from signoff.tools.storage.atomic import sync_folder
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder, lies_in
from signoff.tools.storage.file_names import check_places
from signoff.tools.storage.workspaces import Workspaces
from signoff.wording import as_block, as_code, as_words, make_visible

NAME: Final = "apply_to_project"
LONGEST: Final = 1_000_000
"""Characters of a patch: what a person can be asked to read."""


class Touched(BaseModel):
    """A file before and after, by digest; empty where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    before: str
    after: str


class Changes(BaseModel):
    """A patch of a project and what it makes of each file. `changes` is the digest of all the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    changes: str = Field(description="Digest of the changes, as show_changes gave it", pattern="[0-9a-f]{64}")
    folder: SkipJsonSchema[str] = ""
    patch: SkipJsonSchema[str] = Field(default="", max_length=LONGEST)
    files: SkipJsonSchema[tuple[Touched, ...]] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Changes:
        if digest_of(self.folder, self.patch, self.files) != self.changes:
            raise ValueError("the patch is not the one that this digest was given for; call show_changes again")
        try:
            touched = paths_of(self.patch)
        except (PatchMisfit, FileRefused) as error:
            raise ValueError(str(error)) from error
        if touched != {file.path for file in self.files}:
            raise ValueError("the patch touches other files than are listed")
        return self


def digest_of(folder: str, patch: str, files: tuple[Touched, ...]) -> str:
    return hashlib.sha256(_written(folder, patch, files)).hexdigest()


def keep_changes(copy: WorkCopy, blobs: Blobs) -> Changes | None:
    """What was changed in a copy, made ready to be proposed; None if nothing was. FileRefused if it cannot be."""
    changes = copy.changes()
    if not changes:
        return None
    patch = make_patch(changes)
    if len(patch) > LONGEST:
        raise FileRefused(
            "patch", f"it has {len(patch):,} characters, and {LONGEST:,} can be proposed. Propose less at a time."
        )
    before = {change.path: change.before for change in changes}
    made = {change.path: change.after for change in apply_patch(patch, before.__getitem__, exact=True)}
    if made != {change.path: change.after for change in changes}:
        raise FileRefused("patch", "it would not make of the project what the copy is.")
    for change in changes:
        if change.after:
            blobs.keep(change.after.raw)
    copy.note_proposed(changes)
    files = tuple(Touched(path=one.path, before=_digest(one.before), after=_digest(one.after)) for one in changes)
    return Changes(
        changes=blobs.keep(_written(str(copy.project), patch, files)),
        folder=str(copy.project),
        patch=patch,
        files=files,
    )


def apply_to_project(project: Project | None = None, *, workspaces: Workspaces | None = None) -> Action[Changes]:
    """The action that applies a patch to the project's folder: all of it, once, or nothing.

    A model names the changes by the digest that `show_changes` gave it; what is asked about, kept and applied is the
    whole patch. Without a `project` it is the folder that the changes name: for teams that work on any, and whose
    functions alone propose it.
    """
    places = project.workspaces if project is not None else workspaces or Workspaces()
    blobs = Blobs(places.folder.parent)

    def fill_in(values: Any) -> Any:
        if not isinstance(values, Mapping) or set(values) != {"changes"}:
            return values
        named = str(values["changes"])
        try:
            kept = Changes.model_validate_json(b'{"changes":"%s",%s' % (named.encode(), blobs.read(named)[1:]))
        except (BlobMissing, ValidationError) as error:
            raise ValueError("there are no changes of this digest; call show_changes") from error
        return kept.model_dump()

    def on(changes: Changes) -> _Applying:
        try:
            return _Applying(project or Project(changes.folder, workspaces=places), blobs)
        except ProjectUnusable as error:
            raise ActionFailed(NAME, f"{error} Nothing was changed.") from error

    def preview(changes: Changes) -> str:
        try:
            return on(changes).preview(changes)
        except ActionFailed as error:
            return f"**It cannot be applied here.** {as_words(error.problem)}"

    named = f"the project {project.name!r}" if project is not None else "a project"
    return Action(
        name=NAME,
        description=f"Apply changes to {named} itself. show_changes gives their digest.",
        arguments=completed(Changes, fill_in, name="KeptChanges", about="Changes that a model names by their digest."),
        call=lambda changes, key: on(changes).call(changes, key),
        risk="write",
        touches=Touches(writes=(str(project.folder) if project is not None else "the project that it names",)),
        idempotent=True,
        reconcile=lambda changes, key: on(changes).read_back(changes, key),
        preview=preview,
        fixed=frozenset(Changes.model_fields),
    )


class _Applying:
    """The action on one project."""

    def __init__(self, project: Project, blobs: Blobs) -> None:
        self.project, self.blobs = project, blobs
        self.inside = ConfinedFolder(project.folder)

    def call(self, changes: Changes, _key: str) -> Mapping[str, Any]:
        """Files that are already as they shall be stay, so that a call that was killed is finished by the next."""
        self._check(changes)
        with self._alone():
            done, odd = self._look(changes)
            if odd:
                raise HalfApplied(*odd) if done else ActionFailed(NAME, f"{odd[0]!r} {odd[1]}. Nothing was changed.")
            if done:
                self._finish([file for file in changes.files if file.path not in done])
            else:
                self._apply(changes)
        return _result(changes)

    def read_back(self, changes: Changes, _key: str) -> Mapping[str, Any] | None:
        """Done if every file is as it shall be; not done if none is, or if `call` would finish it."""
        self._check(changes)
        done, odd = self._look(changes)
        if len(done) == len(changes.files):
            return _result(changes)
        if done and odd:
            raise HalfApplied(*odd)
        return None

    def preview(self, changes: Changes) -> str:
        """The files, the counts and the whole patch."""
        come, gone = count_lines(changes.patch)
        head = f"Changes {len(changes.files)} files in {as_code(changes.folder)}: {come} lines come, {gone} go."
        warning = warn_of_running(file.path for file in changes.files)
        parts = [warning, head] if warning else [head]
        try:
            self._check(changes)
            if odd := self._look(changes)[1]:
                parts.append(f"**It does not fit any more:** {as_code(odd[0])} {as_words(odd[1])}.")
            parts.append(_listed(changes.files))
        except ActionFailed as error:
            parts.append(f"**It cannot be applied here.** {as_words(error.problem)}")
        parts.append(as_block(make_visible(changes.patch), "diff"))
        return "\n\n".join(parts)

    def _check(self, changes: Changes) -> None:
        """ActionFailed if it is for another project, or touches what no copy has: it can be made up, digest and all."""
        if changes.folder != str(self.project.folder):
            problem = f"the patch is for {changes.folder!r}, and this is {str(self.project.folder)!r}."
            raise ActionFailed(NAME, f"{problem} Nothing was changed.")
        try:
            check_places(self.project.folder, [file.path for file in changes.files])
        except FileRefused as error:
            raise ActionFailed(NAME, f"{error} Nothing was changed.") from error
        for file in changes.files:
            place = self.project.folder / file.path
            made = is_made(file.path) and not (file.before and self.project.is_git)
            if made or lies_in(place, self.project.home):
                raise ActionFailed(NAME, f"{file.path!r} is no file that agents may change. Nothing was changed.")

    def _look(self, changes: Changes) -> tuple[set[str], tuple[str, str] | None]:
        """The files that are as they shall be, and the first that is neither so nor as it was, with what is wrong."""
        done: set[str] = set()
        odd: tuple[str, str] | None = None
        for file in changes.files:
            now: str | None = None
            problem = "was changed since the patch was made"
            try:
                now = _digest(self._read(file.path))
            except FileRefused as error:
                problem = error.problem.rstrip(".")
            if now == file.after:
                done.add(file.path)
            elif now != file.before and odd is None:
                odd = file.path, problem
        return done, odd

    def _read(self, path: str) -> Version | None:
        return read_version(self.inside, path, self.project.limits.file_megabytes)

    def _apply(self, changes: Changes) -> None:
        try:
            todo = apply_patch(changes.patch, self._read, exact=True)
            if {one.path: _digest(one.after) for one in todo} != {file.path: file.after for file in changes.files}:
                raise PatchMisfit("it would not make what was shown.")
            for change in todo:
                if change.after:
                    self.blobs.keep(change.after.raw)
            write_all(todo, self._write)
        except (PatchMisfit, FileRefused, OSError) as error:
            raise ActionFailed(NAME, f"{error} What was written is taken back: nothing was changed.") from error

    def _finish(self, files: list[Touched]) -> None:
        """Write what a call that was killed would have written; it was kept before the first file was."""
        for file in sorted(files, key=lambda one: (one.after != "", one.path)):
            raw = self.blobs.read(file.after.removesuffix(EXECUTABLE)) if file.after else b""
            self._write(file.path, Version(raw, file.after.endswith(EXECUTABLE)) if file.after else None)

    def _write(self, path: str, version: Version | None) -> None:
        folder = (self.project.folder / path).parent
        for part in folder.glob(".signoff-*.part"):  # what a call that was killed was just writing
            part.unlink()
        write_version(self.inside, path, version, self.project.limits.file_megabytes, lasting=True)
        if version is None and folder.is_dir():
            sync_folder(folder)  # so that it stays away through a power cut

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No two runs write to the same project at once."""
        import fcntl

        lock = self.project.home / f"applying-{hashlib.sha256(str(self.project.folder).encode()).hexdigest()[:16]}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _result(changes: Changes) -> Mapping[str, Any]:
    return {"folder": changes.folder, "files": [file.path for file in changes.files], "sha256": changes.changes}


def _listed(files: Iterable[Touched]) -> str:
    """One to a line of Markdown, with what a person should not overlook."""
    lines = []
    for file in files:
        what = "changed" if file.before and file.after else "deleted" if file.before else "new"
        became = file.after.endswith(EXECUTABLE) and not file.before.endswith(EXECUTABLE)
        lines.append(f"- {as_code(file.path)}: {what}{', **executable**' if became else ''}")
    return "\n".join(lines)


def _written(folder: str, patch: str, files: tuple[Touched, ...]) -> bytes:
    listed = [file.model_dump() for file in files]
    return canonical_json({"folder": folder, "patch": patch, "files": listed}).encode()


def _digest(version: Version | None) -> str:
    return version.digest if version else ""
