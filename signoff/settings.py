"""Settings, read from `SIGNOFF_*` environment variables and a `.env` file; the command line overrides them.

It is longer than most, as each setting is a line with what it means.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from signoff.error_base import SettingsError

_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_PerMinute = Annotated[float, Field(gt=0, allow_inf_nan=False)]

DollarsPerMillion = _Dollars | dict[Literal["input", "cached", "output"], _Dollars]
"""What a million tokens cost: one price for all, or a price for each kind."""

_FORMS: Final = {
    "tiers": '{"fast": "openai:A", "smart": ["openai:B", "openai:C"]}',
    "prices": '{"my-model": {"input": 0.1, "cached": 0.05, "output": 0.4}, "free": 0}',
    "alerts": '{"failures": 10, "queue_age": 3600, "budget_share": 0}',
    "routes": '[{"team": "report", "hours": "22:00-06:00", "tier": "fast"}]',
    "rates": '{"my-model": {"requests_per_minute": 500, "tokens_per_minute": 200000}}',
}
"""How the settings that are JSON are written."""


class Route(BaseModel):
    """A rule that says which tier does the work instead: all that it names must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tier: str
    """Which of the tiers."""
    instead_of: str = ""
    """Of which; empty: of any."""
    team: str = ""
    tenant: str = ""
    hours: str = Field(default="", pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """From when to when by the clock of `zone`, such as `22:00-06:00`."""
    zone: str = "UTC"
    left_below: float | None = Field(default=None, gt=0, le=1)
    """While less than this share of one of the budgets is left that the call is charged to."""

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise ValueError(f"{zone!r} is no time zone, such as Europe/Berlin") from None
        return zone

    def is_time(self, now: datetime) -> bool:
        """Whether this moment is within its hours; they may go over midnight."""
        if not self.hours:
            return True
        since, _, until = self.hours.partition("-")
        at = now.astimezone(ZoneInfo(self.zone)).strftime("%H:%M")
        return since <= at < until if since <= until else at >= since or at < until


_ALERTS: Final = {
    "failures": 5.0,
    "failures_within": 3_600.0,
    "queue_age": 900.0,
    "no_worker": 60.0,
    "approval_age": 86_400.0,
    "budget_share": 0.8,
}
ADMINISTRATOR: Final = 0
"""Whose files are trusted as one's own: who could change those anyway."""

HOME: Final = ".signoff"
"""Name of a project's folder of the database and the document indexes."""


def was_made(database: Path) -> bool:
    """Whether this SQLite file is there, or something that tells that it was: its mark, or what SQLite keeps beside."""
    with suppress(OSError):
        return any(database.name in name for name in os.listdir(database.parent))
    return False


def find_home() -> Path:
    """The `.signoff` of this folder, else of the nearest folder above that has a database in it, as git finds `.git`.

    It looks no further than this file system goes. If there is none, this folder's, which the first run makes. Settings
    are read in event loops as well, where LangGraph's development server refuses what may block; so where this folder
    is, is asked only when something is found, and once.
    """
    try:
        if Path(HOME).exists():
            return Path(HOME)
        above, below = Path(".."), os.stat(".")
        while True:
            found = above.stat()
            if found.st_dev != below.st_dev or os.path.samestat(found, below):
                return Path(HOME)
            if was_made(above / HOME / "signoff.db"):
                return _place_of(above, found) / HOME
            above, below = above / "..", found
    except OSError:  # a folder that is gone, or may not be looked into
        return Path(HOME)


_places: dict[tuple[int, int], Path] = {}


def _place_of(folder: Path, found: os.stat_result) -> Path:
    """Where this folder is, absolutely; known from before, if it is still there."""
    key = (found.st_dev, found.st_ino)
    known = _places.get(key)
    if known is None or not (known.exists() and os.path.samestat(known.stat(), found)):
        known = _places[key] = Path(os.path.abspath(folder))
    return known


_ENV_FILE: Final = Path(".env")


class Settings(BaseSettings):
    """What can be set from outside; each field is `SIGNOFF_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", env_file=_ENV_FILE, extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=find_home)
    """Folder of the database and the document indexes: that of this folder or of one above, else made on first use."""
    database: str = Field(default="", repr=False)  # an address may hold a password
    """SQLite file, or `postgresql://` address, that all is kept in; empty means the file `signoff.db` in `home`."""
    evals_database: str = Field(default="", repr=False)
    """The same for the runs of evals; empty means the file `evals/signoff.db` in `home`."""
    tenant: str = ""
    """Whose jobs, runs, questions and costs are seen, and nothing else is; empty: of all. Nothing is changed then."""
    encryption_key: SecretStr | None = None
    """Encrypts the checkpoints in the database; `signoff db key` makes one. Lost key, lost checkpoints."""
    user: str = ""
    """Who decides here, as it is written in the ledger; empty means the login name."""

    model: str = ""
    """`offline`, `openai:NAME` or `provider:NAME`; empty chooses by what is configured."""
    base_url: str = Field(default="", validation_alias=AliasChoices("SIGNOFF_BASE_URL", "OPENAI_BASE_URL"))
    """Address of an OpenAI-compatible endpoint, such as `http://127.0.0.1:8080/v1`."""
    api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("SIGNOFF_API_KEY", "OPENAI_API_KEY")
    )
    tiers: Annotated[dict[str, str | list[str]], NoDecode] = Field(default_factory=dict)
    """Models by tier, weakest first, as JSON: `{"fast": "openai:A", "smart": ["openai:B", "anthropic:C"]}`; of several
    models the later ones stand in for the first. Empty: `model` does the work of every tier."""
    routes: Annotated[tuple[Route, ...], NoDecode] = ()
    """Rules, as a JSON list, of which the first that holds says which tier does the work:
    `[{"team": "report", "hours": "22:00-06:00", "tier": "fast"}, {"left_below": 0.2, "tier": "fast"}]`."""
    model_timeout: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds one call of a model may take."""
    model_idle_timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds a model that is answering may fall silent."""
    model_retries: int = Field(default=3, ge=0, le=100)
    """Times a call is tried again after 5xx, a time-out or a lost connection, before another model stands in."""
    model_patience: float = Field(default=900.0, gt=0, le=86_400)
    """Seconds that one call may wait in all: for its turn under a rate limit, and between tries."""
    max_output_tokens: int = Field(default=8_192, ge=16, le=1_000_000)
    """Tokens one answer of a model may have; agents and calls may only ask for less."""
    context_tokens: int | None = Field(default=None, ge=512, le=100_000_000)
    """Tokens of a prompt and its answer that a model takes, which results and answers are sized to; not set: as the
    model's profile says, if it has one."""
    json_actions: bool | None = None
    """Whether tools are offered as JSON, for models without tool calls; not set: found out."""

    prices: Annotated[dict[str, DollarsPerMillion], NoDecode] = Field(default_factory=dict)
    """Dollars for a million tokens by model, as JSON: `{"my-model": {"input": 0.1, "output": 0.4}, "free": 0}`. They
    come before the table of genai-prices; a model whose price nobody knows is not called."""
    rates: Annotated[dict[str, dict[Literal["requests_per_minute", "tokens_per_minute"], _PerMinute]], NoDecode] = (
        Field(default_factory=dict)
    )
    """What an endpoint allows by model, as JSON; what is not set is learned from its answers."""
    call_budget: str = ""
    """Limit of one call of a model: `$0.10`, or any of `usd=0.1 tokens=20000 seconds=60`."""
    agent_budget: str = ""
    """Limit of one agent in one run."""
    run_budget: str = "$5"
    """Limit of one run; at its end a person is asked. `none` takes it away."""
    team_budget: str = ""
    """Limit of all runs of one team on one day of UTC."""
    day_budget: str = ""
    """Limit of everything that is charged to this database on one day of UTC."""
    redact: Annotated[tuple[str, ...], NoDecode] = ("secrets",)
    """What is taken out of prompts: secrets, pii, or kinds of it such as email and credit_card; `none` for nothing."""

    traces: str = ""
    """Where OpenTelemetry spans go: `otlp`, `console`, `api` (the program's own provider); empty means nowhere."""
    traces_content: bool = False
    """Whether spans hold what was said: prompts, answers, arguments and results, without secrets."""

    sources: Path | None = None
    """Folder of documents for teams that need one."""
    out: Path = Path("report.md")
    """File the report team proposes to write."""
    depth: int = Field(default=1, ge=0, le=4)
    """Rounds of research, for the report team's models: from 2 on they work the goal part by part, and follow leads."""
    max_file_mb: float = Field(default=20.0, gt=0, le=100_000)
    """Larger documents are skipped, in megabytes."""
    search: Literal["", "json", "brave", "tavily"] = ""
    """Who searches the web; empty: the endpoint at `search_url`, or nobody."""
    secrets: Path | None = None
    """File of secrets that a broker adds to requests of tools; empty means that there are none."""
    search_url: str = Field(default="", repr=False)  # an address may hold a password
    """JSON search endpoint for web search, such as SearXNG's; of another provider: its address if not the usual one."""
    search_key: SecretStr = SecretStr("")
    """Key of the search provider, where the broker does not add it."""
    web_fetch: bool = False
    """Whether agents may fetch web pages."""
    web_hosts: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Hosts that may be fetched from, as names or patterns such as `*.example.org`."""
    web_private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that may lie inside a network and listen on any port; else only public ones on 80 and 443 are fetched."""
    embeddings: bool = False
    """Whether documents are searched by meaning too (needs the extra `embeddings`)."""

    sandbox: Literal["", "bubblewrap", "docker", "podman", "monty"] = ""
    """What agents' commands and code run in (docs/tools/sandbox.md); empty takes the first that can be used here."""
    sandbox_image: str = "python:3.13-slim"
    """Image of the containers that code runs in where Docker or Podman is the sandbox; it is never fetched unasked."""

    sandbox_memory_mb: int | None = Field(default=None, ge=1)
    """Megabytes that all sandboxes of this machine may be given together, further ones wait; not set: what it has."""
    sandbox_cpus: float | None = Field(default=None, gt=0)
    """Processors that they count as together, one each; not set: four for each that the machine has."""

    mcp_servers: Path = Path("mcp.json")
    """File of MCP servers whose tools can be used (docs/tools/mcp.md)."""
    mcp_token: SecretStr = SecretStr("")
    """What clients of `signoff mcp serve --port` must send; empty means that one is made up."""

    max_turns: int = Field(default=24, ge=1)
    """Agent turns before a run pauses for a person."""
    max_rounds: int = Field(default=3, ge=1)
    """Times one artifact may be rejected before a run pauses for a person."""
    ask_plan: bool = False
    """Whether a person sees the plan of each run, and may change it, before anybody works by it."""
    approval_hours: float = Field(default=72.0, gt=0, le=100_000)
    """Hours an approval stays open; after that it counts as refused."""
    confirm_seconds: float = Field(default=60.0, ge=0, le=86_400)
    """For so many seconds after a question was settled, an approval that names no question must be given twice."""

    address: str = ""
    """Where browsers reach the page beside LangGraph Server; empty: where `langgraph dev` listens."""
    oidc_issuer: str = ""
    """Address of an OpenID provider that people sign in with on the page, as it calls itself; empty: there is none."""
    oidc_client: str = ""
    """The page's id there."""
    oidc_secret: SecretStr = SecretStr("")
    """The page's secret there; empty: it has none."""
    oidc_name: str = "email"
    """The claim that people are known by; take none that they can change themselves."""
    oidc_require: Annotated[tuple[str, ...], NoDecode] = ()
    """Claims that a token must have, as CLAIM=VALUE: the tenant, of a provider that serves many."""

    webhooks: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)  # an address may hold a secret
    """Addresses that are told when something waits or was decided: separated by spaces or commas, or a JSON list."""
    webhook_secret: SecretStr = SecretStr("")
    """Signs what is sent there: `whsec_` and base64, or any text; empty means not signed."""
    hook_command: str = ""
    """Program that is told as well: a command line, started without a shell."""
    hook_events: Annotated[tuple[str, ...], NoDecode] = ()
    """Of what they are told: pending, decided, expired, escalated, unknown, alert, cleared; empty means of all."""
    alerts: Annotated[
        dict[Literal["failures", "failures_within", "queue_age", "no_worker", "approval_age", "budget_share"], _From0],
        NoDecode,
    ] = Field(default_factory=dict)
    """From when on the fleet has something wrong, as JSON: `{"failures": 10, "queue_age": 3600}`; 0 is never. What is
    not set: 5 failures within 3600 seconds, 900 seconds in the queue, 60 without a worker, 86400 for a question to
    wait, and 0.8 of a day's budget."""

    @field_validator(
        "webhooks", "hook_events", "oidc_require", "redact", "web_hosts", "web_private_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        """Words separated by spaces or commas, or a JSON list."""
        if not isinstance(value, str):
            return value
        text = value.strip()
        return json.loads(text) if text.startswith("[") else text.replace(",", " ").split()

    @field_validator("tiers", "prices", "rates", "alerts", "routes", mode="before")
    @classmethod
    def _decode(cls, value: object, info: ValidationInfo) -> object:
        """JSON; an empty text sets nothing."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value.strip() or "null") or ([] if info.field_name == "routes" else {})
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}") from None

    @field_validator("tiers")
    @classmethod
    def _check_tiers(cls, tiers: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        if not all(tier.strip() for tier in tiers):
            raise ValueError("a tier needs a name")
        return tiers

    @field_validator("base_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        address = urlsplit(url.strip())  # ValueError for what is no address at all
        if url.strip() and (address.scheme not in ("http", "https") or not address.hostname):
            raise ValueError("SIGNOFF_BASE_URL and OPENAI_BASE_URL begin with http:// or https://, and name a host")
        if address.username or address.password:
            raise ValueError("an address with a password in it is not used; put the key into SIGNOFF_API_KEY")
        return url.strip()

    @property
    def alert_limits(self) -> dict[str, float]:
        """From when on each alert is told, with what is not set."""
        return _ALERTS | {str(name): most for name, most in self.alerts.items()}

    @property
    def is_home_above(self) -> bool:
        """Whether the home was found in a folder above this one."""
        return "home" not in self.model_fields_set and self.home.is_absolute()

    @property
    def database_name(self) -> str:
        """Path of the SQLite file, or address of the PostgreSQL database, which may hold a password."""
        return self.database or str(self.home / "signoff.db")

    @property
    def database_path(self) -> Path:
        """Where the SQLite file is, for what is done to files only; SettingsError for the address of a server."""
        if "://" in self.database:
            raise SettingsError(
                "SIGNOFF_DATABASE",
                "names a database on a server, and this is for SQLite files only",
                "Use the tools of the server, such as pg_dump; --database names a file.",
            )
        return Path(self.database_name)

    @property
    def user_name(self) -> str:
        """Who decides here; 'unknown' where nobody is set and the system does not tell."""
        try:
            return self.user or getpass.getuser()
        except (KeyError, OSError):
            return "unknown"


def load_settings(**overrides: object) -> Settings:
    """Read the settings; SettingsError names the first that is wrong. Overrides that are None are left out."""
    given = {name: value for name, value in overrides.items() if value is not None}
    _check_env_file(_ENV_FILE)
    try:
        if given:
            settings = Settings(**given)  # type: ignore[arg-type]  # checked by pydantic
        else:
            surroundings = find_home(), tuple(os.environ.items()), _version_of(_ENV_FILE)
            settings = _read(*surroundings).model_copy(deep=True)
    except ValidationError as error:
        raise _told(error) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"{str(_ENV_FILE.absolute())!r} is not UTF-8 (line {line})"
        raise SettingsError(".env", problem, "Save it as UTF-8.") from None
    except PermissionError as error:
        problem = f"{str(_ENV_FILE.absolute())!r} cannot be read ({error.strerror})"
        raise SettingsError(".env", problem, "Make it readable for you, or take it away.") from None
    if overrides.get("home") is None and "SIGNOFF_HOME" not in map(str.upper, os.environ):
        check_owner(settings.home)
    return settings


def check_owner(home: Path) -> None:
    """SettingsError if the folder that is used unless another is named is another user's, who may have planted it.

    A `.env` beside it does not name it: whoever made the one may have made the other.
    """
    if (owner := foreign_owner(home)) is not None:
        problem = f"{str(home.absolute())!r} belongs to another user (uid {owner}), and is not opened"
        remedy = f"If you trust what is in it, name it: SIGNOFF_HOME={home.absolute()}"
        raise SettingsError("SIGNOFF_HOME", problem, f"{remedy}.")


def _check_env_file(file: Path) -> None:
    """SettingsError if the file of settings is another user's: it says which programs are started and who is told."""
    if (owner := foreign_owner(file, trusted=ADMINISTRATOR)) is not None and file.is_file():
        problem = f"{str(file.absolute())!r} belongs to another user (uid {owner}), and is not read"
        remedy = f"If you trust what is in it, make it yours: sudo chown {os.geteuid()} {file.absolute()}"
        raise SettingsError(".env", problem, f"{remedy}.")


def foreign_owner(path: Path, *, trusted: int | None = None) -> int | None:
    """Whose a file or folder is, or the link that leads to it, if that is not who works here; None where it is.

    `trusted`: somebody else who may be.
    """
    owners = set[int]()
    for look in (os.lstat, os.stat) if hasattr(os, "geteuid") else ():
        with suppress(FileNotFoundError, NotADirectoryError):
            owners.add(look(path).st_uid)
    return next(iter(owners - {os.geteuid(), trusted}), None) if owners else None


@lru_cache(maxsize=4)
def _read(_home: Path, _environment: tuple[tuple[str, str], ...], _file: tuple[int, ...]) -> Settings:
    """The settings of these surroundings: reading them takes milliseconds, and every run asks for them."""
    return Settings()


def _version_of(file: Path) -> tuple[int, ...]:
    """What tells a file from the same one changed; nothing if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _told(error: ValidationError) -> SettingsError:
    """The first setting that is wrong, where in it, and why."""
    errors = error.errors()
    said = errors[0]["loc"][0]
    field = str(said).lower().removeprefix("signoff_")
    # Of a union every member says what is wrong; the one that got furthest into the value knows best.
    first = max((found for found in errors if found["loc"][0] == said), key=lambda found: len(found["loc"]))
    shown = re.sub(r"://[^/@\s]*@", "://…@", repr(first["input"]))  # there stand user and password
    value = shown if Settings.model_fields[field].repr else "what it says"
    place = " of ".join(repr(key) for key in reversed(_keys(first["loc"])))
    reason = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return SettingsError(
        f"SIGNOFF_{field.upper()}",
        f"{value}{f' in {place}' if place else ''} is not usable ({reason})",
        f"Write it as {_FORMS[field]}" if field in _FORMS else "Correct or unset it.",
    )


def _keys(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys on the way to what is wrong in a setting, without the names that pydantic gives members of a union."""
    inside = loc[1:2] + loc[3 if loc[0] in ("tiers", "prices") else 2 :]
    keys = inside[:-2] if inside[-1:] == ("[key]",) else inside
    return tuple(key for key in keys if isinstance(key, str))
