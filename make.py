#!/usr/bin/env python3
"""The project's commands. Needs Python 3.11 and nothing else: what they need is set up in .venv first."""

import difflib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this line too, so no newer syntax in this file
    found = f"{sys.executable} is {sys.version.split()[0]}"
    sys.exit(f"signoff needs Python 3.11 or newer, and {found}. Use another one, such as: python3.12 make.py run")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
EXE = ".exe" if os.name == "nt" else ""
PYTHON = BIN / f"python{EXE}"
UV = shutil.which("uv")

QUESTION = "How does signoff make sure that an approved action happens only once?"
BENCHMARKS = "sources worth checkpoints overhead limits faults concurrency sandbox call_paths teams fleet desk".split()
REAL = ROOT / "tests" / "shared" / "real"  # what cases on real projects are made of
VARIABLES = ("SOURCES", "OUT", "YES", "QUESTION")
FOREIGN = ("SIGNOFF_", "OPENAI_", "PYTEST_")  # how variables begin that are for what is run, not for this file
FOR_MAKE = ("ARGS", "PYTHON")
CACHES = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "build", "dist")
NETWORK_WORDS = ("connection", "timed out", "dns error", "from versions: none", "failed to fetch", "proxy")
SETTLED_BY = ("pyproject.toml", "constraints.txt")
ROOM_KB = 6_000_000  # free memory from which on the tests' files are kept there
WORKERS = min(8, (os.cpu_count() or 2) + 2)  # more than cores: tests wait for the processes that they start


def run(args: list[str]) -> int:
    """Write a cited report about the documents in SOURCES, and ask you to sign it off."""
    set_up()
    sources = os.environ.get("SOURCES") or ("docs" if Path.cwd() == ROOT else str(ROOT / "docs"))
    out = os.environ.get("OUT") or "report.md"
    command = [tool("signoff"), "run", "report", os.environ.get("QUESTION") or QUESTION]
    command += ["--sources", os.path.expanduser(sources), "--out", os.path.expanduser(out)]
    command += ["--yes"] if os.environ.get("YES", "0") not in ("", "0") else []
    return follow(command + args, Path.cwd())


def smoke(args: list[str]) -> int:
    """Run a few tests that show in two minutes that signoff works here."""
    return test_long(["-m", "smoke", *args])


def test(args: list[str]) -> int:
    """Run the tests, except the long hunts; options for pytest go after `--`."""
    # Many of them race processes, which a busy machine can starve: one that fails is run again, and told of at the end.
    return test_long(["-m", "not hunt and not real", "--reruns", "1", "-r", "fER", *args])


def hunt(args: list[str]) -> int:
    """Run one of 320 parts of the long hunts: the one that the commit picks, or the one named after `--`, 0 to 319."""
    part, options = (args[0], args[1:]) if args and args[0].isdigit() else (str(part_of_commit()), args)
    print(f"Hunting, part {part} of 0 to 319. This part again: python3 make.py hunt -- {part}")
    one_by_one = ["--dist", "load", "--maxschedchunk", "1"]  # a long hunt holds up none that waits behind it
    return test_long([*one_by_one, "-o", "faulthandler_timeout=1800", "-m", "hunt", "--hunt-part", part, *options])


def test_long(args: list[str]) -> int:
    """Run all tests, with all of the hunts: hours."""
    set_up("dev")
    # They start hundreds of processes: what these import is compiled once, out of the tree.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(VENV / "compiled")
    with tempfile.TemporaryDirectory(prefix="signoff-", dir=memory_folder(), ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # PostgreSQL runs as another user where this one is root
        os.environ["TMPDIR"] = folder
        return follow([tool("pytest"), "-q", "-n", str(WORKERS), "--dist", "worksteal", *args])


def real(args: list[str]) -> int:
    """Run the cases on real projects and clients, which are fetched by name into ~/.cache/signoff-real first."""
    set_up("dev")
    folder = Path(os.environ.get("REAL_INPUTS") or Path.home() / ".cache" / "signoff-real").expanduser().absolute()
    os.environ["REAL_INPUTS"] = str(folder)
    options = ["-q", "-o", "faulthandler_timeout=3600", "-m", "real", "-r", "s", *args]
    return in_turn([str(PYTHON), str(REAL / "fetch_real.py"), str(folder)], [tool("pytest"), *options])


def check(_: list[str]) -> int:
    """Check format, lint and types; stops at the first that fails."""
    set_up("dev")
    return in_turn([tool("ruff"), "format", "--check"], [tool("ruff"), "check"], [tool("mypy")])


def bench(args: list[str]) -> int:
    """Run the benchmarks; one of them, with options of its own, after `--`."""
    if args and args[0] not in BENCHMARKS:
        print(f"No benchmark {args[0]!r}. There are: {', '.join(BENCHMARKS)}.")
        return 2
    set_up("dev")
    names, options = (args[:1], args[1:]) if args else (BENCHMARKS, [])
    return in_turn(*([str(PYTHON), str(ROOT / "benchmarks" / f"{name}.py"), *options] for name in names))


def setup(_: list[str]) -> int:
    """Set up .venv with all extras, for work on signoff itself."""
    set_up("dev")
    print(f"Ready: {VENV}")
    return 0


def docs(args: list[str]) -> int:
    """Build the pages as a site in build/site; fails for a dead link or a page out of the menu. `-- serve` shows it."""
    set_up("dev")
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # of Material, about a version that pyproject.toml excludes
    return follow([tool("mkdocs"), *(args or ["build", "--strict"])])


def constraints(_: list[str]) -> int:
    """Write constraints.txt anew: the newest versions that fit together."""
    print("Resolving (about a minute)...")
    with tempfile.TemporaryDirectory() as folder:
        python, report = make_environment(Path(folder, "env")), Path(folder, "report.json")
        quietly([python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", report, ".[dev]"])
        found = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    versions = {re.sub("[-_.]+", "-", package["name"]).lower(): package["version"] for package in found}
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items()) if name != "signoff"]
    header = "# The versions this project is tested with. Made by `python3 make.py constraints`.\n"
    (ROOT / "constraints.txt").write_text("".join([header, *lines]), encoding="utf-8")
    return 0


def clean(_: list[str]) -> int:
    """Remove .venv and the caches; your runs and reports stay."""
    for path in [VENV, *(ROOT / name for name in CACHES), *ROOT.glob("[!.]*/**/__pycache__")]:
        shutil.rmtree(path, ignore_errors=True)
    return 0


def help(_: list[str]) -> int:
    """Show this."""
    lines = [f"  {name:12} {command.__doc__}" for name, command in COMMANDS.items()]
    print("Usage: python3 make.py COMMAND [NAME=value ...] [-- options]\n", *lines, sep="\n")
    print(f"\nrun takes SOURCES=docs, OUT=report.md, YES=1 (sign off unasked) and\nQUESTION={QUESTION!r}")
    print("It ends with 3 if the run waits for your approval, and else with the exit codes of `signoff run`.")
    return 0


def set_up(extra: str = "documents") -> None:
    """Make .venv ready, with this extra; does nothing when it is."""
    stamp, wanted = VENV / f"ready-{extra}", b"".join((ROOT / name).read_bytes() for name in SETTLED_BY)
    script = Path(tool("signoff"))
    # It names the .venv it was made in: not so in one that is half-made, was moved, or whose Python is gone.
    usable = PYTHON.exists() and script.exists() and os.fsencode(VENV) in script.read_bytes()
    if usable and stamp.is_file() and stamp.read_bytes() == wanted:
        return
    if usable:
        print("Bringing .venv up to date...")
    else:
        print("Setting up .venv (first time, about a minute)...")
        shutil.rmtree(VENV, ignore_errors=True)
        make_environment(VENV)
    pip = [UV, "pip", "install", "--python", PYTHON] if UV else [PYTHON, "-m", "pip", "install", "--no-input"]
    quietly([*pip, "--quiet", "-c", "constraints.txt", "-e", f".[{extra}]"])
    for path in {VENV / "ready-documents", stamp}:  # written last: an interrupted set-up leaves none, and is done again
        path.write_bytes(wanted)


def part_of_commit() -> int:
    """Which part of the hunts belongs to this commit, so that 320 commits in a row see about all; 0 without git."""
    git = shutil.which("git")
    done = git and subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return int(done.stdout, 16) % 320 if done and done.returncode == 0 else 0


def make_environment(folder: Path) -> Path:
    """Make an empty environment there, with pip in it, and return its Python."""
    if UV:
        quietly([UV, "venv", "--quiet", "--seed", "--python", sys.executable, folder])
    elif importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        quietly([sys.executable, "-m", "venv", folder])
    else:
        sys.exit(
            f"{sys.executable} cannot make an environment: its venv module is not complete.\n"
            "Install it (Debian, Ubuntu: sudo apt install python3-venv) or uv, then run the same command again."
        )
    return folder / PYTHON.relative_to(VENV)


def quietly(command: list[object]) -> None:
    """Run a step of the set-up in silence; if it fails, show all it said and stop."""
    words = [str(word) for word in command]
    sys.stdout.flush()
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace")
    offline = any(word in said.lower() for word in NETWORK_WORDS)
    remedy = "Check the network and its proxy settings" if offline else "Mend what is said above"
    sys.exit(f"{said}\nSetting up failed: {' '.join(words)}\n{remedy}, then run the same command again.")


def follow(command: list[str], cwd: Path = ROOT) -> int:
    """Run a program in this terminal and return its exit code."""
    # Ctrl-C is for the program to handle, this process only waits. A handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.stdout.flush()
    program = subprocess.Popen(command, cwd=cwd)
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())  # whoever ends this process means the program
    code = program.wait()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return code if code >= 0 else 128 - code


def in_turn(*commands: list[str]) -> int:
    """Run programs one after the other, each named first, until one fails."""
    for command in commands:
        print(f"> {' '.join(command)}".replace(f"{ROOT}{os.sep}", ""))
        code = follow(command)
        if code:
            return code
    return 0


def memory_folder() -> str | None:
    """A folder in memory, where there is plenty: tests make thousands of databases, and keep none of them."""
    try:
        free = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        kilobytes = min(int(free[1]) if free else 0, shutil.disk_usage("/dev/shm").free // 1024)
    except OSError:
        return None
    return "/dev/shm" if kilobytes > ROOM_KB and os.access("/dev/shm", os.W_OK | os.X_OK) else None


def tool(name: str) -> str:
    """Path of a program in .venv."""
    return str(BIN / f"{name}{EXE}")


def main(words: list[str]) -> int:
    """Run the command named first; NAME=value words after it become environment variables."""
    name, *rest = words or ["help"]
    name = "help" if name in ("-h", "--help") else name
    if name not in COMMANDS:
        print(f"No command {name!r}. There are: {', '.join(COMMANDS)}.")
        return 2
    given = []
    while rest and re.match("[A-Za-z][A-Za-z0-9_]*=", rest[0]):
        given.append(rest.pop(0).partition("="))
    by_make = re.findall(r"(?:^|(?<!\\)\s)([A-Za-z]\w*)=", os.environ.get("MAKEFLAGS", "").partition("-- ")[2])
    for key in [*(key for key, _, _ in given), *(key for key in by_make if key not in FOR_MAKE)]:
        if key not in VARIABLES and not key.startswith(FOREIGN):
            like = difflib.get_close_matches(key.upper(), VARIABLES, 1)
            print(
                f"No variable {key!r}. "
                + (f"Do you mean {like[0]}?" if like else f"There are: {', '.join(VARIABLES)}.")
            )
            return 2
    os.environ.update({key: value for key, _, value in given})
    return COMMANDS[name](rest[1:] if rest[:1] == ["--"] else rest)


ALL = (run, smoke, test, hunt, test_long, real, check, bench, docs, setup, constraints, clean, help)
COMMANDS = {command.__name__.replace("_", "-"): command for command in ALL}

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
    except OSError as error:
        sys.exit(f"{error}. Mend that, then run the same command again.")
