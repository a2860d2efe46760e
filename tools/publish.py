"""Publishing: the action that writes a finished report to a file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from signoff.errors import ActionFailed
from signoff.tools.action import Action

NAME = "publish_report"

_COMPARED = 5_000
"""Lines up to which two versions are compared line by line."""


class Publication(BaseModel):
    """What is written, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="File to write; an existing one is replaced")
    content: str = Field(description="The whole content of the file")


def publish_report(folder: Path | None = None) -> Action[Publication]:
    """The action that writes a report; with a folder, paths start from it and may not leave it."""
    base = Path(folder).absolute() if folder is not None else None

    def write(publication: Publication, key: str) -> Mapping[str, Any]:
        target, raw = _target(publication.path, base), _encode(publication.content)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, raw, key)
        except OSError as error:
            raise ActionFailed(NAME, f"cannot write {str(target)!r}: {_reason(error)}. Nothing was changed.") from error
        return _result(target, raw)

    def read_back(publication: Publication, _key: str) -> Mapping[str, Any] | None:
        target, raw = _target(publication.path, base), _encode(publication.content)
        try:
            return _result(target, raw) if target.read_bytes() == raw else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ActionFailed(NAME, f"cannot read back {str(target)!r}: {_reason(error)}.") from error

    def preview(publication: Publication) -> str:
        try:
            target, raw = _target(publication.path, base), _encode(publication.content)
        except ActionFailed as error:
            return f"**This cannot be written.** {error.problem}\n\n---\n\n{publication.content}"
        return f"Writes `{target}` ({_size(len(raw))}). {_replaced(target, raw)}\n\n---\n\n{publication.content}"

    return Action(
        name=NAME,
        description="Write the finished report to a file.",
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


def _encode(content: str) -> bytes:
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ActionFailed(NAME, f"the content cannot be written as UTF-8: {error}.") from error


def _replace(target: Path, raw: bytes, key: str) -> None:
    """Write beside the target and rename, so that the target is always whole; the same key reuses its leftover."""
    beside = target.parent / f".signoff-{hashlib.sha256(key.encode()).hexdigest()[:16]}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(beside, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(beside, stat.S_IMODE(target.stat().st_mode))
        os.replace(beside, target)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _result(target: Path, raw: bytes) -> Mapping[str, Any]:
    return {"path": str(target), "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


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
    before, after = old.splitlines(), raw.splitlines()
    if max(len(before), len(after)) > _COMPARED:
        return f"It **replaces** the file that is there ({_size(len(old))})."
    steps = [step for step in SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if step[0] != "equal"]
    gone, new = sum(step[2] - step[1] for step in steps), sum(step[4] - step[3] for step in steps)
    return f"It **replaces** the file that is there ({_size(len(old))}): {gone} lines go, {new} lines are new."


def _size(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.1f} kB"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
