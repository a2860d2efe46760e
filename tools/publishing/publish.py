"""Publishing: the action that writes a finished report to a file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from signoff.error_base import SettingsError
from signoff.tools.action import Action
from signoff.tools.errors import ActionFailed, BlobMissing, FileRefused
from signoff.tools.files.self_running import warn_of_running
from signoff.tools.publishing.formats import Format, format_of, render
from signoff.tools.storage.atomic import beside, explain, sync_folder, write_synced
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import lies_in
from signoff.tools.storage.file_names import check_places
from signoff.wording import as_block, as_code, as_words, make_visible

NAME = "publish_report"
_MADE: Mapping[Format, str] = {
    "markdown": "",
    "html": ", one page of HTML made of the Markdown below with its pictures in it",
    "word": ", a Word document made of the Markdown below with its pictures in it",
}


class Attachment(BaseModel):
    """A file that goes beside the report, such as a chart: its bytes are kept among the blobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of the file, beside the report's")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of its content")
    bytes: int = Field(ge=0, description="Its size")


class Publication(BaseModel):
    """What is written, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        description="File to write; an existing one is replaced. `.html` and `.docx` are made of the content"
    )
    content: str = Field(description="The whole report, in Markdown")
    attachments: tuple[Attachment, ...] = Field(default=(), description="Files that are written beside it")


@dataclass(frozen=True)
class _File:
    """A file to write, whole."""

    target: Path
    raw: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


def publish_report(folder: Path | None = None, *, blobs: Blobs | None = None) -> Action[Publication]:
    """The action that writes a report and what is attached to it; with a folder, paths may not leave it.

    `blobs` is where the attachments are kept; without it, `.signoff/blobs`.
    """
    publishing = _Publishing(Path(folder).absolute() if folder is not None else None, blobs or Blobs())
    return Action(
        name=NAME,
        description="Write the finished report to a file, and its charts beside it.",
        arguments=Publication,
        call=publishing.write,
        risk="write",
        idempotent=True,
        reconcile=publishing.read_back,
        preview=publishing.preview,
    )


@dataclass(frozen=True)
class _Publishing:
    """The action in one folder, or anywhere."""

    base: Path | None
    blobs: Blobs

    def files(self, publication: Publication) -> list[_File]:
        """The files to write, the report the last of them: what it shows is there before it is."""
        report, beside_it = self._report(publication)
        attached = [_File(report.target.parent / one.name, self._content(one)) for one in beside_it]
        names = Counter([*(report.target.parent / one.name for one in publication.attachments), report.target])
        for name, times in names.items():
            if times > 1:
                raise ActionFailed(NAME, f"two files would be written to {str(name)!r}. Name each once.")
        files = [*(_File(_target(str(file.target), self.base), file.raw) for file in attached), report]
        self._check([file.target for file in files])
        return files

    def _report(self, publication: Publication) -> tuple[_File, list[Attachment]]:
        """The report as its file's name asks for it, and what is not in it but belongs beside it."""
        target, attached = _target(publication.path, self.base), publication.attachments
        try:
            form = format_of(publication.path)
            held = {one.name: self._content(one) for one in attached} if form != "markdown" else {}
            raw, inside = render(form, publication.content, held)
        except SettingsError as error:
            raise ActionFailed(NAME, str(error)) from error
        except UnicodeEncodeError as error:
            raise ActionFailed(NAME, f"the content cannot be written as UTF-8: {error}.") from error
        except ValueError as error:
            raise ActionFailed(NAME, f"{error}. Nothing was changed.") from error
        return _File(target, raw), [one for one in attached if one.name not in inside]

    def _check(self, targets: Sequence[Path]) -> None:
        """ActionFailed for what belongs to version control or to signoff."""
        folder = Path(os.path.realpath(self.base) if self.base else targets[0].anchor)
        try:
            check_places(folder, [target.relative_to(folder).as_posix() for target in targets])
        except FileRefused as error:
            raise ActionFailed(NAME, f"{error} Nothing was changed.") from error
        kept = self.blobs.folder
        if not lies_in(folder, kept.parent):  # else whoever keeps reports there has them beside the blobs
            kept = kept.parent
        for target in targets:
            if lies_in(target, kept):
                raise ActionFailed(NAME, f"{str(target)!r} is where signoff keeps its own files. Name another place.")

    def write(self, publication: Publication, key: str) -> Mapping[str, Any]:
        """Write every file whole beside its target, or none, and then give them their names in order."""
        files = self.files(publication)
        report = files[-1].target
        has_begun = False
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as parts:
                for at, file in enumerate(reversed(files)):
                    _write_beside(parts, file, key, at)
                has_begun = True
            for folder in {file.target.parent for file in files}:
                sync_folder(folder)
        except OSError as error:
            if has_begun and len(files) > 1:
                raise  # some may be in place: only reading them back tells
            raise ActionFailed(NAME, f"cannot write {str(report)!r}: {explain(error)}. Nothing was changed.") from error
        return _result(files)

    def read_back(self, publication: Publication, _key: str) -> Mapping[str, Any] | None:
        """What was written, if all of it is there as it was meant."""
        report, beside_it = self._report(publication)
        wanted = {_target(str(report.target.parent / one.name), self.base): one.sha256 for one in beside_it}
        wanted |= {report.target: report.sha256}
        try:
            files = [_File(target, target.read_bytes()) for target in wanted]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ActionFailed(NAME, f"cannot read back {str(report.target)!r}: {explain(error)}.") from error
        return _result(files) if [file.sha256 for file in files] == [*wanted.values()] else None

    def preview(self, publication: Publication) -> str:
        """Where it goes, what becomes of the files there, and all that it says."""
        try:
            *attached, report = self.files(publication)
        except ActionFailed as error:
            return f"**This cannot be written.** {as_words(error.problem)}\n\n{_as_source(publication.content)}"
        lines = [*self._warned(publication, [file.target for file in (*attached, report)])]
        target = as_code(str(report.target))
        made = _MADE[format_of(publication.path)]
        lines += [f"Writes {target}{made} ({_size(len(report.raw))}). {_replaced(report.target, report.raw)}"]
        lines += ["", *map(self._attached, attached)] if attached else []
        return "\n".join([*lines, "", _as_source(publication.content)])

    def _warned(self, publication: Publication, targets: Sequence[Path]) -> list[str]:
        """What is to be said of files that run by themselves, by the names that are given or where these lead."""
        folder = Path(os.path.realpath(self.base or Path.cwd()))
        real = [target.relative_to(folder) if target.is_relative_to(folder) else target for target in targets]
        given = [publication.path, *(one.name for one in publication.attachments)]
        warning = warn_of_running(given) or warn_of_running(map(str, real))
        return [warning, ""] if warning else []

    def _content(self, attachment: Attachment) -> bytes:
        """The bytes that were meant when it was proposed."""
        try:
            raw = self.blobs.read(attachment.sha256)
        except BlobMissing as error:
            raise ActionFailed(NAME, f"{attachment.name!r} cannot be attached. {error}") from error
        if len(raw) != attachment.bytes:
            problem = f"{attachment.name!r} has {len(raw)} bytes, not {attachment.bytes}. Propose it again."
            raise ActionFailed(NAME, problem)
        return raw

    def _attached(self, file: _File) -> str:
        """One attachment, and where it can be looked at before it is written."""
        kept = as_code(str(self.blobs.path(file.sha256)))
        what = f"{as_code(str(file.target))} ({_size(len(file.raw))}), kept as {kept}"
        return f"- and {what}. {_replaced(file.target, file.raw)}"


def _as_source(content: str) -> str:
    """The whole content, which no reader renders: links show where they lead, and comments are seen."""
    return as_block(make_visible(content), "markdown")


def _target(path: str, base: Path | None) -> Path:
    """The file meant, links followed; ActionFailed if it cannot be one."""
    if not path.strip():
        raise ActionFailed(NAME, "the path is empty. Name a file.")
    if "\0" in path:
        raise ActionFailed(NAME, f"the path {path!r} contains a NUL character. Name another file.")
    try:
        target = Path(os.path.realpath((base or Path.cwd()) / Path(path).expanduser()))
        is_folder = target.is_dir() or path.endswith(("/", os.sep))
    except (OSError, RuntimeError, ValueError) as error:
        raise ActionFailed(NAME, f"{path!r} is not a usable path: {error}. Name another file.") from error
    if is_folder:
        raise ActionFailed(NAME, f"{str(target)!r} is a folder. Name a file.")
    if base is not None and not target.is_relative_to(os.path.realpath(base)):
        raise ActionFailed(NAME, f"{str(target)!r} is outside of {str(base)!r}. Name a file inside.")
    return target


def _write_beside(parts: ExitStack, file: _File, key: str, at: int) -> None:
    """Write it under a name that the same key uses again, with the mode of the file that it takes the place of."""
    name = f".signoff-{hashlib.sha256(key.encode()).hexdigest()[:16]}{f'-{at}' if at else ''}.part"
    part = parts.enter_context(beside(file.target, part=file.target.parent / name))
    write_synced(part, file.raw, mode=0o666, again=True)
    with suppress(FileNotFoundError):
        os.chmod(part, stat.S_IMODE(file.target.stat().st_mode))


def _result(files: Sequence[_File]) -> Mapping[str, Any]:
    """What was written: the report, and what is beside it."""
    *attached, report = [{"path": str(file.target), "bytes": len(file.raw), "sha256": file.sha256} for file in files]
    return {**report, "attachments": attached} if attached else report


def _replaced(target: Path, raw: bytes) -> str:
    """What becomes of the file that is there."""
    try:
        old = target.read_bytes()
    except FileNotFoundError:
        return "The file is new."
    except OSError as error:
        return f"There is a file, which cannot be read ({explain(error)}); it is **replaced**."
    if old == raw:
        return "The file is there already with just this content."
    # Counted, not matched: matching takes hours where lines repeat, as the empty ones of every text do.
    if b"\0" in old or b"\0" in raw:
        return f"It **replaces** the file that is there ({_size(len(old))})."
    before, after = Counter(old.splitlines()), Counter(raw.splitlines())
    gone, new = (before - after).total(), (after - before).total()
    return f"It **replaces** the file that is there ({_size(len(old))}): {gone} lines go, {new} lines are new."


def _size(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.1f} kB"
