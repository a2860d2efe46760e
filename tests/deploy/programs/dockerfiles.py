"""A Dockerfile done line by line where there is no Docker: each stage is this machine's root, with a layer on top.

Run as root: `unshare --mount python dockerfiles.py WORK CONTEXT DOCKERFILE PYTHON [COMMAND …]`. What a line changes
goes into a layer in WORK; PYTHON stands for the one of the image, and should have nothing installed. At the end the
command is run as the image would: its user, its folder, its environment. What is no instruction known here ends it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

_KEPT = ("PIP_", "SSL_", "UV_", "http", "HTTP", "no_proxy", "NO_PROXY")
"""How variables begin that say how packages are reached here, which an image has from its builder."""


@dataclass
class Stage:
    """A stage, as far as it was done."""

    root: Path
    python: Path
    folder: str = "/"
    user: str = "root"
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, work: Path, number: int, python: Path) -> "Stage":
        """An empty layer on this machine's root."""
        layer, scratch, root = (work / f"{number}" / name for name in ("layer", "scratch", "root"))
        for path in (layer, scratch, root):
            path.mkdir(parents=True)
        how = f"lowerdir=/,upperdir={layer},workdir={scratch}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", how, str(root)], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
        subprocess.run(["mount", "--rbind", "/dev", str(root / "dev")], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(root / "tmp")], check=True)
        (root / "root").chmod(0o755)  # where the Python may lie that stands for the image's
        for name in ("python", "python3", "pip"):
            there = root / "usr/local/bin" / name
            there.unlink(missing_ok=True)
            there.symlink_to(python.with_name(name if name == "pip" else "python3"))
        return cls(root, python)

    def run(self, words: list[str], **more: str) -> int:
        """Do this as the stage's user, in its folder; its exit code."""
        table = (self.root / "etc/passwd").read_text().splitlines()
        row = next(line.split(":") for line in table if line.split(":")[0] == self.user)
        uid, gid, home = int(row[2]), int(row[3]), row[5]
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        path = f"{self.python.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

        def enter() -> None:
            os.chroot(self.root)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.chdir(self.folder)

        around = {**kept, "PATH": path, "HOME": home, **more}
        return subprocess.run(words, env=around, preexec_fn=enter).returncode

    def copy(self, origin: Path, word: str, target: str, ignored: list[str]) -> None:
        """Copy a file, or what is in a folder, without what is ignored."""
        source = origin / word.lstrip("/")
        place = self.root / os.path.join(self.folder, target).lstrip("/")

        def left_out(folder: str, names: list[str]) -> set[str]:
            here = Path(folder).relative_to(origin)
            return {name for name in names if is_ignored(str(here / name), ignored)}

        if source.is_dir():
            shutil.copytree(source, place, ignore=left_out, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy2(source, place / source.name if target.endswith("/") else place)


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore leaves this out: the last pattern that fits says so."""
    found = False
    for pattern in patterns:
        bare = pattern.removeprefix("!").strip("/")
        parts = path.split("/")
        heads = ["/".join(parts[: number + 1]) for number in range(len(parts))]
        fits = any(_fits(head, bare) for head in heads)
        found = not pattern.startswith("!") if fits else found
    return found


def _fits(path: str, pattern: str) -> bool:
    tail = pattern.removeprefix("**/")
    if tail != pattern:
        return any(_fits(path.split("/", number)[-1], tail) for number in range(path.count("/") + 1))
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction, and what stands behind it."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def tell(line: str) -> None:
    """Say what is done now, before what that says."""
    sys.stdout.write(f"--- {line}\n")
    sys.stdout.flush()


def build(work: Path, context: Path, dockerfile: Path, python: Path) -> Stage:
    """What its last stage comes to."""
    ignore = context / ".dockerignore"
    ignored = [line for line in ignore.read_text().splitlines() if line and line[0] != "#"] if ignore.exists() else []
    stages: dict[str, Stage] = {}
    for number, (name, rest) in enumerate(instructions(dockerfile.read_text())):
        tell(f"{name} {rest}")
        if name == "FROM":
            stage = Stage.begin(work, number, python)
            stages[rest.split()[-1]] = stage
        elif name == "RUN":
            if code := stage.run(["/bin/sh", "-c", rest]):
                sys.exit(f"{name} {rest}: {code}")
        elif name == "COPY":
            flags, words = [w for w in rest.split() if w[:2] == "--"], [w for w in rest.split() if w[:2] != "--"]
            origin = stages[flags[0].removeprefix("--from=")].root if flags else context
            (stage.root / os.path.join(stage.folder, words[-1]).lstrip("/")).mkdir(parents=True, exist_ok=True)
            for word in words[:-1]:
                stage.copy(origin, word, words[-1], [] if flags else ignored)
        elif name == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        elif name in ("ENTRYPOINT", "CMD"):
            setattr(stage, "entry" if name == "ENTRYPOINT" else "command", json.loads(rest))
        elif name != "VOLUME":
            sys.exit(f"{name} is not known here")
    return stage


if __name__ == "__main__":
    places = [Path(word) for word in sys.argv[1:5]]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "tmpfs", str(places[0])], check=True)
    image = build(*places)
    for line in sys.argv[5:] or [shlex.join([*image.entry, *image.command])]:
        tell(line)
        if code := image.run(["/bin/sh", "-c", line]):
            sys.exit(f"{line}: {code}")
