"""Admission: whether a tool may make a request, and with which secret. What is not allowed is refused."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from signoff.tools.broker.secrets_file import PLACE, OpenRule, Rule, SecretRule, SecretsFile, headers_listed

Header = tuple[str, str]

_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_BACK: Final = frozenset({".", ".."})


class Denied(Exception):
    """Why a request is not made, on one line, and the status that says so."""

    def __init__(self, reason: str, status: int = 403) -> None:
        self.reason, self.status = reason, status
        super().__init__(reason)


@dataclass(frozen=True)
class Target:
    """Where a request goes."""

    host: str
    port: int | None
    """None: the one that the rule has."""
    path: str = "/"
    query: str = ""


@dataclass(frozen=True)
class Grant:
    """A request that may be made."""

    url: str
    headers: tuple[Header, ...]
    rule: Rule
    secret: str = ""
    """Name of the secret that was added."""


def read_target(address: str) -> Target:
    """Where `http://host/path` points to; Denied for everything that two readers might read in two ways."""
    try:
        found = urlsplit(address)
        host, port = found.hostname or "", found.port
    except ValueError:
        raise Denied("the address cannot be read", 400) from None
    if found.scheme not in ("http", "https") or not host:
        raise Denied("this is a proxy: ask for http://HOST/PATH", 400)
    if "@" in found.netloc or "#" in address or "\\" in address:
        raise Denied("the address holds a user name, a fragment or a backslash", 400)
    path = found.path or "/"
    for read in (unquote(path), unquote(unquote(path))):
        if any(part.partition(";")[0] in _BACK for part in re.split(r"[/\\]", read)):
            raise Denied("the path leads back with '.' or '..'", 400)
    return Target(_plain_host(host), port, path, found.query)


def read_tunnel(authority: str) -> Target:
    """Where `CONNECT host:port` points to."""
    try:
        found = urlsplit(f"//{authority}")
        host, port = found.hostname or "", found.port
    except ValueError:
        raise Denied("the address cannot be read", 400) from None
    if not host or port is None or "@" in authority or found.path or found.query:
        raise Denied("CONNECT asks for HOST:PORT", 400)
    return Target(_plain_host(host), port)


class Admission:
    """The rules of a secrets file with the values at hand."""

    def __init__(self, secrets: SecretsFile, values: dict[str, str]) -> None:
        self._secret_rules = [(name, rule) for name, one in secrets.secrets.items() for rule in one.rules]
        self._rules: list[tuple[str, Rule]] = [*self._secret_rules, *(("", rule) for rule in secrets.open)]
        self._sources = {name: one.source for name, one in secrets.secrets.items()}
        self._open, self._values = secrets.open, values

    def admit(self, tool: str, method: str, target: Target, headers: Sequence[Header]) -> Grant:
        """The request with its credential; the first rule that fits is used, those with a secret before the others."""
        here = [
            (name, rule) for name, rule in self._rules if rule.reaches(target.host, target.port) and tool in rule.tools
        ]
        if not here:
            raise Denied(f"{tool} may not reach {_shown(target)}")
        able = [(name, rule) for name, rule in here if method in rule.methods]
        if not able:
            methods = dict.fromkeys(method for _, rule in here for method in rule.methods)
            raise Denied(f"{tool} may not {method} at {target.host}, only {', '.join(methods)}")
        fitting = next(((name, rule) for name, rule in able if rule.has_path(target.path)), None)
        if fitting is None:
            raise Denied(f"{tool} may not {method} this path of {target.host}")
        name, rule = fitting
        return self._granted(name, rule, target, headers)

    def tunnel_rule(self, tool: str, target: Target) -> OpenRule:
        """The rule that allows a tunnel; none to a host that any secret is for, as it could not be added in there."""
        if any(rule.reaches(target.host, None) for _, rule in self._secret_rules):
            raise Denied(f"no tunnel to {target.host}: its secret is added to http:// requests, which go on as https")
        for rule in self._open:
            if tool in rule.tools and rule.tunnel and target.port and rule.reaches(target.host, target.port):
                return rule
        raise Denied(f"{tool} may have no tunnel to {_shown(target)}")

    def _granted(self, name: str, rule: Rule, target: Target, headers: Sequence[Header]) -> Grant:
        query = target.query
        added: tuple[Header, ...] = ()
        if isinstance(rule, SecretRule):
            if name not in self._values:
                gone = f"the secret {name} is gone: {self._sources[name]} was given to a broker that ended. "
                raise Denied(f"{gone}Start the run again", 503)
            filled = rule.filled_in.replace(PLACE, self._values[name])
            if rule.query:
                query = _with_parameter(query, rule.query, filled)
            else:
                added = (
                    (rule.header_name, f"Basic {base64.b64encode(filled.encode()).decode()}" if rule.basic else filled),
                )
        kept = _handed_on(headers, rule)
        host = f"[{target.host}]" if ":" in target.host else target.host
        port = target.port or rule.ports_of(target.host)[0]
        url = f"{rule.scheme}://{host}:{port}{target.path}{f'?{query}' if query else ''}"
        return Grant(url, (*kept, ("Accept-Encoding", "identity"), *added), rule, name)


def _plain_host(host: str) -> str:
    host = host.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise Denied("the host is no name that can be looked up", 400) from None
        return host


def _shown(target: Target) -> str:
    return f"{target.host}:{target.port}" if target.port else target.host


def _handed_on(headers: Sequence[Header], rule: Rule) -> tuple[Header, ...]:
    """Those headers of a request that the server gets to see: those that are listed, and none that is added here."""
    has_secret = isinstance(rule, SecretRule)
    listed = headers_listed("of_requests", *([] if has_secret else ["of_requests_without_a_secret"]))
    allowed = listed.union(map(str.lower, rule.headers))
    here = ",".join(value for key, value in headers if key.lower() == "connection")
    dropped = {_known_as(name.strip()) for name in here.split(",")}
    if isinstance(rule, SecretRule):
        dropped.add(_known_as(rule.header_name))
    return tuple((key, value) for key, value in headers if key.lower() in allowed and _known_as(key) not in dropped)


def _known_as(header: str) -> str:
    """The name of a header as servers understand it: to many of them `_` is `-`."""
    return header.lower().replace("_", "-")


def _with_parameter(query: str, name: str, value: str) -> str:
    """The query with this parameter, once."""
    others = [part for part in re.split("[&;]", query) if part and unquote_plus(part.partition("=")[0]) != name]
    return "&".join((*others, f"{quote(name, safe='')}={quote(value, safe='')}"))
