"""The git folder of a workspace copy. It lies outside of the workspace, and git is never pointed at the workspace.

What a sandboxed job leaves there (hooks, settings, attributes, submodules) is so nothing that git would look at: files
are read by us and handed to git as bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Unpack

from signoff.tools.errors import GitFailed, ProjectUnusable
from signoff.tools.git.command import MOST, GitOptions, run_git

BASE: Final = "refs/signoff/base"
"""The project's commit that the copy was made of."""
DEPTH: Final = 50
"""Commits of the project's history that are taken along."""

_BATCH: Final = 20_000_000
"""Bytes of files that are asked for at once."""
_LONGEST_HEAD: Final = 200
"""Bytes that git puts around each of them."""
_PATCH: Final = ("-p", "-M", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Tracked:
    """One entry of a tree."""

    path: str
    mode: str
    """`100644`, `100755`, `120000` for a link, `160000` for a submodule."""
    id: str
    size: int


@dataclass(frozen=True)
class Author:
    """Who makes the commits."""

    name: str = "signoff agent"
    email: str = "agent@signoff.invalid"


class Repository:
    """A bare repository of our own."""

    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir

    @classmethod
    def copy_of(cls, project: Path, git_dir: Path, *, depth: int = DEPTH) -> Repository:
        """A copy of the project's committed state and last commits; ProjectUnusable if it has none."""
        try:
            if setting_of(project, "extensions.partialclone"):
                raise ProjectUnusable(
                    project, "it is a partial clone, which would fetch from elsewhere. Clone it whole."
                )
            object_format = _ask(project, "rev-parse", "--show-object-format")
            branch = _ask(project, "symbolic-ref", "-q", "--short", "HEAD", codes=(0, 1)) or "signoff"
            repository = cls.make(git_dir, object_format)
            options = (f"--depth={depth}", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--quiet")
            source = project.absolute().as_uri()
            repository.run("fetch", *options, "--", source, f"HEAD:{BASE}", protocols=("file",), seconds=600)
            repository.run("update-ref", f"refs/heads/{branch}", BASE)
            repository.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        except GitFailed as error:
            if "couldn't find remote ref HEAD" in error.problem:
                raise ProjectUnusable(project, "it has no commit yet. Commit what agents shall work on.") from error
            if "dubious ownership" in error.problem:
                raise ProjectUnusable(project, "it belongs to another user. Let that user run this.") from error
            raise ProjectUnusable(project, f"{error}. Look whether it is a whole git repository.") from error
        return repository

    @classmethod
    def make(cls, git_dir: Path, object_format: str = "sha1") -> Repository:
        """A new, empty one."""
        git_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = cls(git_dir)
        made.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}")
        return made

    def run(self, *arguments: str, **options: Unpack[GitOptions]) -> str:
        """What git prints, as text."""
        return run_git(*arguments, git_dir=self.git_dir, **options).decode("utf-8", "replace")

    # Commits and trees

    @property
    def head(self) -> str:
        """The commit that comes next is made upon this one."""
        return self.commit_of("HEAD")

    @property
    def base(self) -> str:
        return self.commit_of(BASE)

    @property
    def branch(self) -> str:
        return self.run("symbolic-ref", "--short", "HEAD").strip()

    @property
    def branches(self) -> dict[str, str]:
        """The commit of each branch."""
        lines = self.run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").splitlines()
        return {name: commit for commit, _, name in (line.partition(" ") for line in lines)}

    def commit_of(self, name: str) -> str:
        """The commit that is meant by its id, a branch, or another name; GitFailed if there is none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
        except GitFailed as error:
            raise GitFailed("rev-parse", f"there is no commit {name[:100]!r} in the copy.") from error

    def has(self, commit: str) -> bool:
        """Whether there is a commit of this whole id."""
        if not _COMMIT.fullmatch(commit):
            return False
        return self.run("cat-file", "-t", commit, codes=(0, 128)).strip() == "commit"

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether a commit is among those that another was made upon, as far as the history was taken along."""
        if not self.has(old):
            return False
        with suppress(GitFailed):
            self.run("merge-base", "--is-ancestor", old, new)
            return True
        return False

    def tree(self, name: str) -> Iterator[Tracked]:
        """The files, links and submodules of a commit or tree."""
        listed = run_git("ls-tree", "-r", "-z", "-l", "--full-tree", name, git_dir=self.git_dir)
        for line in listed.split(b"\0"):
            if line:
                facts, _, path = line.partition(b"\t")
                mode, _, blob, size = facts.split()
                yield Tracked(os.fsdecode(path), mode.decode(), blob.decode(), 0 if size == b"-" else int(size))

    def blobs(self, entries: Sequence[Tracked]) -> Iterator[bytes]:
        """The content of these files, asked for a batch at a time."""
        start = 0
        while start < len(entries):
            end, size = start, 0
            while end < len(entries) and (end == start or size + entries[end].size < _BATCH):
                size += entries[end].size
                end += 1
            asked = "".join(f"{entry.id}\n" for entry in entries[start:end]).encode()
            most = size + _LONGEST_HEAD * (end - start)
            out = run_git("cat-file", "--batch", git_dir=self.git_dir, stdin=asked, most=most)
            place = 0
            while place < len(out):
                content = out.index(b"\n", place) + 1
                size = int(out[place:content].split()[2])
                yield out[content : content + size]
                place = content + size + 1
            start = end

    def keep_blob(self, raw: bytes) -> str:
        """Keep content; its id."""
        return self.run("hash-object", "-w", "-t", "blob", "--stdin", stdin=raw).strip()

    def make_tree(self, upon: str, entries: Mapping[str, tuple[str, str] | None]) -> str:
        """The tree of a commit with some entries (mode and id, or None to take it away) put in; its id."""
        index = {"GIT_INDEX_FILE": str(self.git_dir / f"index-{os.getpid()}-{os.urandom(4).hex()}")}
        nothing = "0" * len(self.head)
        gone = [f"0 {nothing}\t{path}\0" for path, entry in entries.items() if entry is None]
        come = [f"{entry[0]} {entry[1]}\t{path}\0" for path, entry in entries.items() if entry is not None]
        try:
            self.run("read-tree", upon, env=index)
            self.run("update-index", "-z", "--index-info", stdin=os.fsencode("".join(gone + come)), env=index)
            return self.run("write-tree", env=index).strip()
        finally:
            Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)

    def commit(self, tree: str, message: str, author: Author, *, when: str = "") -> str:
        """Make a commit of a tree upon the head, and move the branch to it; its id.

        `when`: its date, as git writes one; empty: now. The same change with the same date is the same commit.
        """
        head = self.head
        who = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", author.name), ("EMAIL", author.email), *([("DATE", when)] if when else []))
        }
        made = self.run("commit-tree", tree, "-p", head, stdin=message.encode(), env=who).strip()
        self.run("update-ref", "HEAD", made, head)
        return made

    def start_branch(self, name: str) -> None:
        """Let commits go to a new branch, which begins at the head; GitFailed if there is one or it is no name."""
        check_branch(name)
        self.run("update-ref", f"refs/heads/{name}", self.head, "0" * len(self.head))
        self.run("symbolic-ref", "HEAD", f"refs/heads/{name}")

    def diff(self, old: str, new: str, paths: Sequence[str] = (), *, most: int = MOST) -> str:
        return self.run("--literal-pathspecs", "diff-tree", "-r", *_PATCH, old, new, "--", *paths, most=most)

    def history(self, old: str, new: str, *, most: int = MOST) -> str:
        """The commits after one up to another, the first one first, with their messages and, if several, patches."""
        span = f"{old}..{new}"
        several = int(self.run("rev-list", "--count", span, "--")) > 1
        form = "--format=commit %H%nAuthor: %an <%ae>%n%n%w(0,4,4)%B"
        return self.run("log", "--reverse", form, *(_PATCH if several else ()), span, "--", most=most)

    def status(self, old: str, new: str) -> list[tuple[str, str]]:
        """What differs between two trees: a letter (A, M, D, R, T) and the path, or both paths."""
        parts = self.run("diff-tree", "-r", "-z", "-M", "--name-status", old, new).split("\0")
        found = []
        while len(parts) > 1:
            letter = parts.pop(0)
            path = parts.pop(0)
            found.append((letter[0], f"{path} -> {parts.pop(0)}" if letter[0] in "RC" else path))
        return found

    def written(self, old: str, new: str) -> list[str]:
        """The files that one tree has otherwise than another, or beside those."""
        return [path.rpartition(" -> ")[2] for letter, path in self.status(old, new) if letter != "D"]

    def ignored(self, paths: Iterable[str], rules: Mapping[str, bytes]) -> frozenset[str]:
        """Which of these paths are ignored by the `.gitignore` files given by their paths."""
        asked = "\0".join(f"./{path}" for path in paths)  # a path that begins with ':' would mean something else
        if not rules or not asked:
            return frozenset()
        folder = self.git_dir / "rules"
        shutil.rmtree(folder, ignore_errors=True)
        for path, raw in rules.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(raw)
        out = run_git(
            *("-C", str(folder), f"--work-tree={folder}", "check-ignore", "-z", "--stdin", "--no-index"),
            git_dir=self.git_dir,
            settings=("core.bare=false",),
            stdin=os.fsencode(asked),
            codes=(0, 1),
        )
        return frozenset(os.fsdecode(path).removeprefix("./") for path in out.split(b"\0") if path)


def uncommitted(project: Path) -> list[str]:
    """The tracked files that the project's folder has otherwise than its last commit; new ones are not looked for.

    They are compared byte by byte, without the filters that the project's own settings name.
    """
    listed = run_git("-C", str(project), "ls-tree", "-r", "-z", "--full-tree", "HEAD")
    found = []
    for line in filter(None, listed.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, _, blob = facts.decode().split()
        place = project / os.fsdecode(name)
        if mode in ("100644", "100755") and not (place.is_file() and is_blob(place.read_bytes(), blob)):
            found.append(os.fsdecode(name))
    return found


def is_blob(raw: bytes, blob: str) -> bool:
    made = hashlib.new("sha256" if len(blob) == 64 else "sha1", usedforsecurity=False)
    made.update(b"blob %d\0" % len(raw) + raw)
    return made.hexdigest() == blob


def check_branch(name: str) -> None:
    """GitFailed unless a branch can have this name."""
    problem = f"{name[:100]!r} cannot be the name of a branch."
    try:
        run_git("check-ref-format", f"refs/heads/{name}")
    except (GitFailed, ValueError) as error:
        raise GitFailed("branch", f"{problem} Use letters, digits, '-', '/'.") from error
    if name.startswith("-") or name == "HEAD":
        raise GitFailed("branch", f"{problem} Begin it with a letter.")


def setting_of(project: Path, name: str) -> str:
    """A setting that the project itself has; empty if it has none of this name."""
    return _ask(project, "config", "--local", "--no-includes", "--get", name, codes=(0, 1))


def _ask(project: Path, *arguments: str, codes: Sequence[int] = (0,)) -> str:
    """What git says of the project itself. Only commands that read its git folder: in its files filters could run."""
    return run_git("-C", str(project), *arguments, codes=codes).decode("utf-8", "replace").strip()
