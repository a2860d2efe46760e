"""A bench: a copy of a repository that is worked on, and checks that code runs on just what would be proposed.

A check runs on a tree that is written out anew, in the sandbox and without network: what else lies in the copy does
not help it, what it writes is thrown away, and what it showed is kept under the digest of that tree.
"""

from __future__ import annotations

import fnmatch
import os
import shlex
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from posixpath import basename, dirname
from types import MappingProxyType
from typing import Any, Final

from signoff.checkpoints import digest, digest_text
from signoff.tools.errors import FileRefused, ProjectUnusable
from signoff.tools.files import Project
from signoff.tools.files.apply import Change, Version, changes_between
from signoff.tools.files.project import WorkCopy
from signoff.tools.files.self_running import protected_as
from signoff.tools.git.repository import BASE, Repository
from signoff.tools.sandbox.backends import open_backend
from signoff.tools.sandbox.proof import CheckRun, Proof, find_problems, read_run
from signoff.tools.sandbox.sandbox import Backend, Finished, Job, SandboxLimits
from signoff.tools.storage import ConfinedFolder
from signoff.tools.storage.atomic import write_whole

LIMITS: Final = SandboxLimits(
    seconds=600, cpu_seconds=600, memory_mb=2_048, processes=256, output_bytes=5_000_000, disk_mb=1_024, files=60_000
)
_REPORT: Final = ".signoff-report.xml"
_ENV: Final = "/env"
"""Where the virtual environment is inside."""
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

Files = Mapping[str, Version]
"""A tree: its files by path."""
Start = Callable[[Files], Files]
Say = Callable[[str], object]

_RUNNING: Final[dict[Path, threading.Lock]] = {}
"""Held while a check runs on a tree, by where it is kept what it shows."""


def no_word(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One copy, its checks, and what may be changed in it."""

    project: Project
    checks: tuple[str, ...]
    """Command lines for sh, in the repository's folder."""
    may_edit: tuple[str, ...] = ()
    """Tests, CI and lock files that may be changed all the same: paths, folders, or patterns such as `tests/*`."""
    environment: Path | None = None
    """A virtual environment that commands find their Python and packages in."""
    environment_before: Path | None = None
    """The one that the checks are run in before any edit, where that is another."""
    given: Mapping[str, Path] = field(default_factory=dict)
    """What else commands may read, by its absolute path inside."""
    limits: SandboxLimits = LIMITS
    may_fail: bool = False
    """Whether tests that fail before any edit may go on failing."""
    sandbox: str = ""
    """Name of the backend; empty: the first that can be used."""
    start: Start | None = None
    """Makes of what was copied what the work begins with, such as what others did before; None: just that."""
    within: frozenset[str] | None = None
    """The only ones of the files that are there at the start which may be changed; None: all that are not read-only."""
    may_rest: bool = False
    """Whether it is accepted that nothing is changed."""

    @property
    def copy(self) -> WorkCopy:
        return self.project.copy()

    @cached_property
    def backend(self) -> Backend:
        """What runs commands; SandboxMissing if nothing here can run them safely."""
        return open_backend(self.sandbox)

    @property
    def repository(self) -> Repository:
        if (found := self.copy.repository) is None:
            raise ProjectUnusable(self.project.folder, "it is no git repository. Run in it: git init, and commit.")
        return found

    # Trees

    def files(self) -> dict[str, Version]:
        """What the copy would make of the repository."""
        copy = self.copy
        read = ((entry.path, copy.read_any(entry.path)) for entry in copy.files())
        return {path: version for path, version in read if version is not None}

    def base_files(self) -> Mapping[str, Version]:
        """What the work begins with: what was copied, as it was, or what `start` makes of it."""
        known, repository = self.copy.base.files, self.repository
        entries = [entry for entry in repository.tree(BASE) if entry.path in known]
        raws = repository.blobs(entries)
        copied = {entry.path: Version(raw, entry.mode == "100755") for entry, raw in zip(entries, raws, strict=True)}
        return copied if self.start is None else self.start(copied)

    @cached_property
    def _known(self) -> Mapping[str, str]:
        """Digests of what the work begins with."""
        if self.start is None:
            return {path: str(known[0]) for path, known in self.copy.base.files.items()}
        return {path: version.digest for path, version in self.base_files().items()}

    def set_out(self) -> None:
        """Make the copy what the work begins with, once; what was done in it since stays."""
        mark = self.copy.kept / "start"
        if self.start is not None and not (mark.exists() and mark.read_text("utf-8") == self.base_tree):
            self.reset()
            write_whole(mark, self.base_tree.encode())

    def changes(self) -> tuple[Change, ...]:
        """What was changed of what the work began with; FileRefused where the repository itself was, or too much."""
        if self.start is None:
            return self.copy.changes()
        return changes_between(self.base_files(), self.files())

    @property
    def tree(self) -> str:
        """Digest of the copy as it is now."""
        return tree_of(self.files())

    @property
    def base_tree(self) -> str:
        return digest(self._known)

    def keep(self, patch: str) -> Path:
        """Put a patch where it outlives the run."""
        place = self.project.home / "patches" / f"{digest_text(patch)[:12]}.patch"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, patch.encode("utf-8", "surrogateescape"))
        return place

    # What is read-only

    def protected(self, path: str) -> str:
        """Why this file may not be changed; empty if it may."""
        if any(fnmatch.fnmatchcase(path, one) or path.startswith(f"{one.rstrip('/')}/") for one in self.may_edit):
            return ""
        is_others = self.within is not None and path not in self.within and path in self._known
        return protected_as(path) or ("of another unit" if is_others else "")

    def check_writable(self, path: str) -> None:
        """FileRefused for what is read-only here."""
        if kind := self.protected(path):
            raise FileRefused(path, f"it is read-only, as it is {kind} and the task does not name it.")

    def protected_changes(self) -> tuple[str, ...]:
        """The read-only files that are otherwise than they were copied, new or gone."""
        return self._protected_among(self.files())

    def _protected_among(self, files: Mapping[str, Version]) -> tuple[str, ...]:
        now = {path: version.digest for path, version in files.items()}
        known = self._known
        changed = (path for path in sorted({*now, *known}) if now.get(path) != known.get(path))
        return tuple(path for path in changed if self.protected(path))

    def reset(self) -> None:
        """Make every file what it was when the work began."""
        with self.project.alone:
            base, now = self.base_files(), self.files()
            _restore(self, [path for path in sorted({*base, *now}) if base.get(path) != now.get(path)], base)

    def put_back(self) -> tuple[str, ...]:
        """Make read-only files what they were; which they are."""
        with self.project.alone:
            changed = self.protected_changes()
            _restore(self, changed, self.base_files() if changed else {})
        return changed

    # Commands

    def run(
        self,
        command: str,
        *,
        stop: threading.Event | None = None,
        given: Mapping[str, Path] = NOTHING,
        env: Mapping[str, str] = NOTHING,
        programs: Sequence[str] = (),
        door: Path | None = None,
    ) -> Finished:
        """Run a command in the copy, whose files it may change; nothing else of the host, and no network.

        `given`, `env` and `door` as in a Job; `programs` are folders inside that come first in its PATH.
        """
        job = self._job(self.copy.workspace, command, programs)
        job = replace(job, given={**job.given, **given}, env={**job.env, **env}, door=door)
        return self.backend.run(job, stop=stop)

    def prove(self, say: Say = no_word, files: Files | None = None) -> Proof:
        """What the checks show of the copy as it is now, or of these files; on one tree they run once."""
        files = self.files() if files is None else files
        return self._prove(tree_of(files), lambda: files, say)

    def baseline(self, say: Say = no_word) -> Proof:
        """What the checks show before any edit."""
        before = replace(self, environment=self.environment_before or self.environment)
        return before._prove(self.base_tree, before.base_files, say)

    def problems(self, say: Say = no_word, files: Files | None = None) -> tuple[str, ...]:
        """Why the copy as it is now, or these files, are not accepted, by the checks and by what may be changed; empty
        if they are."""
        files = self.files() if files is None else files
        if changed := self._protected_among(files):
            listed = ", ".join(f"{path} ({self.protected(path)})" for path in changed[:5])
            return (f"it changes what is read-only unless the task names it: {listed}",)
        if tree_of(files) == self.base_tree:
            return () if self.may_rest else ("nothing was changed",)
        return find_problems(self.baseline(say), self.prove(say, files), may_fail=self.may_fail)

    def _prove(self, tree: str, read: Callable[[], Files], say: Say) -> Proof:
        """What the checks show of the tree of this digest, whose files are read only if it is to be run on."""
        return Proof(tree=tree, checks=tuple(self._check(command, tree, read, say) for command in self.checks))

    def _check(self, command: str, tree: str, read: Callable[[], Files], say: Say) -> CheckRun:
        how = [tree, command, str(self.environment), sorted(map(str, self.given.items())), str(self.limits)]
        place = self._proofs / f"{digest(how)}.json"
        with _RUNNING.setdefault(place, threading.Lock()):  # who waits for the same finds it
            if place.exists():
                return CheckRun.model_validate_json(place.read_bytes())
            return self._run_check(command, read(), place, say)

    def _run_check(self, command: str, files: Files, place: Path, say: Say) -> CheckRun:
        say(f"runs {command}")
        with self._staged(files) as stage:
            found = _read_check(self.backend, self._job(stage, command), command)
        say(str(found))
        if found.ended in ("exit", "signal"):
            write_whole(place, found.model_dump_json().encode())
        return found

    @property
    def _proofs(self) -> Path:
        """One folder for all copies of a run, as these begin with the same tree."""
        spaces = self.project.workspaces
        run = spaces.current().name.removesuffix(spaces.part)
        spaces.folder.joinpath(run).mkdir(exist_ok=True, mode=0o700)  # what is kept of a copy goes with its workspace
        place = self.project.home / "copies" / run / ".proofs"
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return place

    @contextmanager
    def _staged(self, files: Mapping[str, Version]) -> Iterator[Path]:
        """A workspace with these files alone, and the links that were copied."""
        copy = self.copy
        with tempfile.TemporaryDirectory(prefix="stage-", dir=copy.kept, ignore_cleanup_errors=True) as folder:
            target = Path(folder, copy.name)
            target.mkdir()
            for path, version in files.items():
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_bytes(version.raw)
                (target / path).chmod(0o755 if version.executable else 0o644)
            for path in copy.base.left_out:
                link = copy.workspace / copy.name / path
                with suppress(FileExistsError, NotADirectoryError):  # where something else was put in its place
                    if link.is_symlink():
                        (target / path).parent.mkdir(parents=True, exist_ok=True)
                        (target / path).symlink_to(os.readlink(link))
            yield Path(folder)

    def _job(self, workspace: Path, command: str, programs: Sequence[str] = ()) -> Job:
        """A command in the folder of the repository, with what is installed for it."""
        copy, given = self.copy, self.given
        kept, roots = copy.kept / "programs", import_roots(copy.base.files)
        return _job_in(workspace, copy.name, command, self.environment, kept, given, self.limits, programs, roots)


def check_folder(
    backend: Backend, stage: Path, name: str, command: str, environment: Path, *, limits: SandboxLimits = LIMITS
) -> CheckRun:
    """What a check shows of a folder of this name in a stage, in an environment; some is kept beside the stage."""
    kept = stage.with_name(f"{stage.name}-programs")
    return _read_check(backend, _job_in(stage, name, command, environment, kept, NOTHING, limits), command)


def _read_check(backend: Backend, job: Job, command: str) -> CheckRun:
    finished = backend.run(job)
    report = job.workspace / _REPORT
    raw = report.read_bytes() if report.is_file() and not report.is_symlink() else b""
    return read_run(command, finished, raw)


def _job_in(
    workspace: Path,
    name: str,
    command: str,
    environment: Path | None,
    kept: Path,
    more: Mapping[str, Path],
    limits: SandboxLimits,
    programs: Sequence[str] = (),
    roots: Sequence[str] = ("src", ""),
) -> Job:
    """A command in a folder of the workspace; `kept` is where wrappers of the environment's programs are put."""
    given, folders = installed(environment, _ENV, kept)
    python = [] if folders else [str(Path(sys.base_prefix, "bin").resolve())]
    return Job(
        command=("sh", "-c", f'cd {shlex.quote(name)} && exec sh -c "$1"', "sh", command),
        workspace=workspace,
        given={**more, **given},
        env={
            "PATH": ":".join((*programs, *folders, *python, "/usr/local/bin", "/usr/bin", "/bin")),
            "PYTHONPATH": ":".join(f"/work/{name}/{root}".rstrip("/") for root in roots),
            "PYTEST_ADDOPTS": f"--junitxml=/work/{_REPORT} -p no:cacheprovider",
        },
        limits=limits,
    )


def import_roots(paths: Collection[str]) -> tuple[str, ...]:
    """The folders of a repository that Python finds its packages in: its own, and those of the projects in it."""
    marks = [path for path in paths if basename(path) in ("pyproject.toml", "setup.py", "setup.cfg")]
    projects = sorted({dirname(path) for path in marks if not protected_as(f"{dirname(path)}/x.py")} - {""})
    sources = {f"{path.rpartition('/src/')[0]}/src" for path in paths if "/src/" in path}
    return ("src", "", *(f"{one}/src" if f"{one}/src" in sources else one for one in projects))


def _restore(bench: Bench, paths: Sequence[str], base: Files) -> None:
    """Make these files what they were, whatever was put in their place or on the way to it."""
    copy = bench.copy
    inside = ConfinedFolder(copy.workspace)
    kinds = {entry.path: entry.kind for entry in inside.list(most=bench.limits.files)} if paths else {}
    for path in paths:
        whole = f"{copy.name}/{path}"
        above = [whole[:at] for at, sign in enumerate(whole) if sign == "/"]
        odd = [one for one in above if kinds.get(one, "folder") != "folder"]
        odd += [whole] if kinds.get(whole, "file") != "file" else []
        for one in odd:
            for below in sorted((name for name in kinds if name == one or name.startswith(f"{one}/")), reverse=True):
                inside.remove(below)
                del kinds[below]
        copy.write(path, base.get(path))


def tree_of(files: Mapping[str, Version]) -> str:
    """Digest of all paths with their contents."""
    return digest({path: version.digest for path, version in files.items()})


def find_environment(repository: Path) -> Path | None:
    """The virtual environment that a repository's commands most likely need: its own, the active one, or this one."""
    active = os.environ.get("VIRTUAL_ENV") or sys.prefix
    for place in (repository / ".venv", repository / "venv", Path(active), Path(sys.prefix)):
        if (place / "pyvenv.cfg").is_file() and (place / "bin").is_dir():
            return place.absolute()
    return None


def installed(
    environment: Path | None, inside: str, programs: Path, *, options: str = ""
) -> tuple[dict[str, Path], list[str]]:
    """What is given to a sandbox so that it has this virtual environment, and the folders for its PATH.

    Its programs name the Python of the host in their first line, so `programs` is filled with others that do not,
    and that start it with these `options`.
    """
    if environment is None:
        return {}, []
    programs.mkdir(parents=True, exist_ok=True, mode=0o755)
    programs.chmod(0o755)
    for program in (environment / "bin").iterdir():
        wrapper = programs / program.name
        if not wrapper.exists() and program.is_file() and _is_for_python(program):
            write_whole(
                wrapper, f'#!/bin/sh\nexec {inside}/bin/python {options} {inside}/bin/{program.name} "$@"\n'.encode()
            )
            wrapper.chmod(0o755)
    given = {inside: environment, f"{inside}-programs": programs}
    settings = (line.partition("=") for line in (environment / "pyvenv.cfg").read_text("utf-8").splitlines())
    home = next((value.strip() for name, _, value in settings if name.strip() == "home"), "")
    prefix = Path(home).resolve().parent if home else Path("/usr")
    if not prefix.is_relative_to("/usr") and prefix != Path(sys.base_prefix).resolve():
        given |= {str(prefix / name): prefix / name for name in ("bin", "lib") if (prefix / name).is_dir()}
    return given, [f"{inside}-programs", f"{inside}/bin"]


def _is_for_python(program: Path) -> bool:
    """Whether it is a script that Python runs, whatever starts it."""
    with program.open("rb") as file:
        head = file.read(200)
    return head.startswith(b"#!") and b"python" in head
