"""Publishing: the action that writes a finished report to a file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from signoff.errors import ActionFailed, BlobMissing
from signoff.tools.action import Action
from signoff.tools.storage.blobs import Blobs

NAME = "publish_report"


class Attachment(BaseModel):
    """A file that goes beside the report, such as a chart: its bytes are kept among the blobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of the file, beside the report's")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of its content")
    bytes: int = Field(ge=0, description="Its size")


class Publication(BaseModel):
    """What is written, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="File to write; an existing one is replaced")
    content: str = Field(description="The whole content of the file")
    attachments: tuple[Attachment, ...] = Field(default=(), description="Files that are written beside it")


@dataclass(frozen=True)
class _File:
    """A file to write, whole."""

    target: Path
    raw: bytes


def publish_report(folder: Path | None = None, *, blobs: Blobs | None = None) -> Action[Publication]:
    """The action that writes a report and what is attached to it; with a folder, paths may not leave it.

    `blobs` is where the attachments are kept; without it, `.signoff/blobs`.
    """
    base = Path(folder).absolute() if folder is not None else None
    kept = blobs or Blobs()

    def find(publication: Publication) -> list[_File]:
        """The files to write, the report the last of them: what it shows is there before it is."""
        report = _File(_target(publication.path, base), _encode(publication.content))
        attached = [_File(report.target.parent / one.name, _content(one, kept)) for one in publication.attachments]
        for name, times in Counter(file.target for file in (*attached, report)).items():
            if times > 1:
                raise ActionFailed(NAME, f"two files would be written to {str(name)!r}. Name each once.")
        return [*(_File(_target(str(file.target), base), file.raw) for file in attached), report]

    def write(publication: Publication, key: str) -> Mapping[str, Any]:
        files = find(publication)
        report = files[-1].target
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            staged = _stage(files, key)
        except OSError as error:
            raise ActionFailed(NAME, f"cannot write {str(report)!r}: {_reason(error)}. Nothing was changed.") from error
        try:
            _put_in_place(staged)
        except OSError as error:
            if len(files) > 1:
                raise  # some may be in place: only reading them back tells
            raise ActionFailed(NAME, f"cannot write {str(report)!r}: {_reason(error)}. Nothing was changed.") from error
        return _result(files)

    def read_back(publication: Publication, _key: str) -> Mapping[str, Any] | None:
        report = _target(publication.path, base)
        beside = {_target(str(report.parent / one.name), base): one.sha256 for one in publication.attachments}
        wanted = beside | {report: hashlib.sha256(_encode(publication.content)).hexdigest()}
        try:
            files = [_File(target, target.read_bytes()) for target in wanted]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ActionFailed(NAME, f"cannot read back {str(report)!r}: {_reason(error)}.") from error
        return (
            _result(files) if [hashlib.sha256(file.raw).hexdigest() for file in files] == [*wanted.values()] else None
        )

    def preview(publication: Publication) -> str:
        try:
            *attached, report = find(publication)
        except ActionFailed as error:
            return f"**This cannot be written.** {error.problem}\n\n---\n\n{publication.content}"
        lines = [f"Writes `{report.target}` ({_size(len(report.raw))}). {_replaced(report.target, report.raw)}"]
        lines += ["", *(_attached(file, kept) for file in attached)] if attached else []
        return "\n".join([*lines, "", "---", "", publication.content])

    return Action(
        name=NAME,
        description="Write the finished report to a file, and its charts beside it.",
        arguments=Publication,
        call=write,
        risk="write",
        idempotent=True,
        reconcile=read_back,
        preview=preview,
    )


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


def _content(attachment: Attachment, blobs: Blobs) -> bytes:
    """The bytes that were meant when it was proposed."""
    try:
        raw = blobs.read(attachment.sha256)
    except BlobMissing as error:
        raise ActionFailed(NAME, f"{attachment.name!r} cannot be attached. {error}") from error
    if len(raw) != attachment.bytes:
        raise ActionFailed(NAME, f"{attachment.name!r} has {len(raw)} bytes, not {attachment.bytes}. Propose it again.")
    return raw


def _attached(file: _File, blobs: Blobs) -> str:
    """One attachment, and where it can be looked at before it is written."""
    kept = blobs.path(hashlib.sha256(file.raw).hexdigest())
    return f"- and `{file.target}` ({_size(len(file.raw))}), kept as `{kept}`. {_replaced(file.target, file.raw)}"


def _encode(content: str) -> bytes:
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ActionFailed(NAME, f"the content cannot be written as UTF-8: {error}.") from error


def _stage(files: Sequence[_File], key: str) -> list[tuple[Path, Path]]:
    """Write every file whole beside its target, or none; the same key uses its own leftovers again."""
    staged: list[tuple[Path, Path]] = []
    mark = hashlib.sha256(key.encode()).hexdigest()[:16]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        for at, file in enumerate(reversed(files)):
            beside = file.target.parent / f".signoff-{mark}{f'-{at}' if at else ''}.part"
            handle = os.open(beside, flags, 0o666)
            staged.insert(0, (beside, file.target))
            with os.fdopen(handle, "wb") as opened:
                opened.write(file.raw)
                opened.flush()
                os.fsync(opened.fileno())
            with suppress(FileNotFoundError):
                os.chmod(beside, stat.S_IMODE(file.target.stat().st_mode))
    except BaseException:
        _throw_away(staged)
        raise
    return staged


def _put_in_place(staged: Sequence[tuple[Path, Path]]) -> None:
    """Give the files their names, in order, so that each target is always whole."""
    try:
        for beside, target in staged:
            os.replace(beside, target)
    except BaseException:
        _throw_away(staged)
        raise
    for folder in {target.parent for _, target in staged}:
        _sync_folder(folder)


def _throw_away(staged: Sequence[tuple[Path, Path]]) -> None:
    for beside, _ in staged:
        with suppress(FileNotFoundError):
            beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _result(files: Sequence[_File]) -> Mapping[str, Any]:
    """What was written: the report, and what is beside it."""
    *attached, report = [
        {"path": str(file.target), "bytes": len(file.raw), "sha256": hashlib.sha256(file.raw).hexdigest()}
        for file in files
    ]
    return {**report, "attachments": attached} if attached else report


def _replaced(target: Path, raw: bytes) -> str:
    """What becomes of the file that is there."""
    try:
        old = target.read_bytes()
    except FileNotFoundError:
        return "The file is new."
    except OSError as error:
        return f"There is a file, which cannot be read ({_reason(error)}); it is **replaced**."
    if old == raw:
        return "The file is there already with just this content."
    # Counted, not matched: matching takes hours where lines repeat, as the empty ones of every text do.
    before, after = Counter(old.splitlines()), Counter(raw.splitlines())
    gone, new = (before - after).total(), (after - before).total()
    return f"It **replaces** the file that is there ({_size(len(old))}): {gone} lines go, {new} lines are new."


def _size(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.1f} kB"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
