"""CRMs behind HTTP: one with an upsert of many rows (HubSpot's object API), and one that is searched first.

Before a write it is read what stands under the keys, so that it is known what the write did. After an answer that
leaves open whether a write took effect, it is read back before anything is written again.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from signoff.checkpoints import digest
from signoff.tools.crm.pace import Pace
from signoff.tools.crm.row import KEY, OURS, Record, Row, Written
from signoff.tools.errors import CrmFailed
from signoff.tools.web import USER_AGENT, OpenClient
from signoff.tools.web.http_waits import retry_after

_AT_ONCE: Final = 100
"""Rows in one request."""
_TRIES: Final = 4
_REFUSALS: Final = 8
"""Times that a request waits because the CRM takes no more."""
_MOST_BYTES: Final = 20_000_000
_LONGEST_PAUSE: Final = 120.0
_HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "application/json"}
_PASSING: Final = ("RATE_LIMIT", "INTERNAL", "TIMEOUT", "SERVICE_UNAVAILABLE", "LOCKED")
"""Beginnings of the categories of errors that pass."""
_UNTAKEN: Final = f"it was not taken, {_TRIES} times one after the other"

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What the CRM answered; its status is below 500, and not 429."""

    status: int
    body: Any

    @property
    def said(self) -> str:
        """Why it refused, in its own words."""
        body = self.body if isinstance(self.body, Mapping) else {}
        said = body.get("message") or body.get("error") or body.get("error_info") or self.body
        return f"HTTP {self.status}, {str(said)[:300]!r}"


@dataclass(frozen=True, kw_only=True)
class HttpCrm(ABC):
    """What both have: an address, a client that has the rights, and a pace that all who write there share."""

    base: str
    """`https://api.hubapi.com`."""
    client: OpenClient
    """Makes a client, such as `lambda: broker.client("crm_upsert")`, which adds the secret on the way."""
    pace: Pace = field(default_factory=Pace)
    settles: float = 2.0
    """Seconds after which what was written is found."""

    @property
    def name(self) -> str:
        return urlsplit(self.base).netloc

    @property
    def host(self) -> str:
        return urlsplit(self.base).hostname or ""

    def ask(self, method: str, path: str, *, writes: bool = False, **options: Any) -> Answer:
        """Ask at the common pace, and again if it takes no more for now.

        CrmFailed: with `writes` it is unsure where the answer does not tell that nothing was done.
        """
        import httpx2

        for _ in range(_REFUSALS):
            turn = self.pace.take(self.name)
            try:
                with (
                    self.client() as client,
                    client.stream(method, f"{self.base.rstrip('/')}{path}", headers=_HEADERS, **options) as response,
                ):
                    status, headers = response.status_code, {k.lower(): v for k, v in response.headers.items()}
                    raw = b"".join(self._bounded(response.iter_bytes()))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                raise CrmFailed(self.name, f"{type(error).__name__}: {error}", sure=True) from error
            except httpx2.HTTPError as error:
                raise CrmFailed(self.name, f"{type(error).__name__}: {error}", sure=not writes) from error
            if status != 429:
                return self._answer(status, raw, writes)
            asked = retry_after(headers, time.time())
            if asked is not None and asked > _LONGEST_PAUSE:
                raise CrmFailed(self.name, f"it takes no more for {asked:,.0f} s", sure=True, status=429)
            self.pace.refused(self.name, turn, asked)
        raise CrmFailed(self.name, f"it took no more, {_REFUSALS} times one after the other", sure=True, status=429)

    def _bounded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > _MOST_BYTES:
                raise CrmFailed(self.name, "its answer is too long")
            yield chunk

    def _answer(self, status: int, raw: bytes, writes: bool) -> Answer:
        try:
            body = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            if status < 300:
                raise CrmFailed(self.name, "its answer is no JSON", sure=not writes) from None
            body = raw.decode(errors="replace")
        answer = Answer(status, body)
        if status >= 500 or 300 <= status < 400:
            raise CrmFailed(self.name, answer.said, sure=not writes, status=status)
        if status in (401, 403):
            problem = f"{answer.said}: the secret is missing, wrong, or may not do this; see docs/tools/secrets.md"
            raise CrmFailed(self.name, problem, sure=True, status=status)
        return answer

    def check(self) -> None:
        """It answers, knows who asks, and has the properties: a row is looked for that nobody has."""
        self.find([digest("nobody")])

    @abstractmethod
    def find(self, keys: Sequence[str], properties: Sequence[str] = (), /) -> dict[str, Record]:
        """As of `CRM`."""

    def read_back(self, rows: Sequence[Row], before: Mapping[str, Record]) -> dict[str, Written]:
        """Those of these rows that were written after all; CrmFailed, unsure, if that cannot be told."""
        done = dict[str, Written]()
        for last in (False, True):
            try:
                found = self._find_for(rows)
            except CrmFailed as error:
                problem = f"{error.problem}, when it was read back"
                raise CrmFailed(self.name, problem, status=error.status) from error
            held = {row.key: found[row.key].id for row in rows if row.key in found and found[row.key].holds(row)}
            done = {key: Written(key, "updated" if key in before else "created", held[key]) for key in held}
            if len(done) == len(rows) or last:
                break
            time.sleep(self.settles)
        return done

    def _find_for(self, rows: Sequence[Row]) -> dict[str, Record]:
        names = dict.fromkeys(name for row in rows for name in row.properties)
        return self.find([row.key for row in rows], list(names))


@dataclass(frozen=True, kw_only=True)
class HubSpot(HttpCrm):
    """Objects of HubSpot's CRM API. The three properties of ours must be there, `signoff_key` with unique values."""

    object: str = "companies"
    version: str = "2026-03"

    def find(self, keys: Sequence[str], properties: Sequence[str] = (), /) -> dict[str, Record]:
        """By batch read: it tells of keys that are not there in the same answer, which counts as no error."""
        found = dict[str, Record]()
        for some in _chunks(keys):
            asked = {"idProperty": KEY, "inputs": [{"id": key} for key in some], "properties": [*OURS, *properties]}
            answer = self.ask("POST", f"{self._path}/batch/read", json=asked)
            if answer.status not in (200, 207):
                raise CrmFailed(self.name, answer.said, sure=True, status=answer.status)
            for result in _listed(answer.body, "results"):
                record = Record.read(result.get("id", ""), result.get("properties") or {})
                if record.key in some:
                    found[record.key] = record
        return found

    def upsert(self, rows: Sequence[Row]) -> list[Written]:
        """A hundred at once; of an answer that is good for some, only the others are sent again."""
        written = dict[str, Written]()
        for some in _chunks(rows):
            written |= self._upsert(some)
        return [written[row.key] for row in rows]

    def _upsert(self, rows: Sequence[Row]) -> dict[str, Written]:
        before = self._find_for(rows)
        written = {row.key: done for row in rows if (done := _settled(row, before)) is not None}
        problems = dict[str, str]()
        for _ in range(_TRIES):
            left = [row for row in rows if row.key not in written]
            if not left:
                break
            try:
                inputs = [self._input(row, before) for row in left]
                answer = self.ask("POST", f"{self._path}/batch/upsert", writes=True, json={"inputs": inputs})
            except CrmFailed as error:
                if error.sure:
                    raise
                problems |= {row.key: error.problem for row in left}
                written |= self.read_back(left, before)
                continue
            if answer.status < 300:
                written |= self._told(answer, left, before, problems)
            elif len(left) > 1:  # it refuses all for the sake of one: which one?
                for row in left:
                    written |= self._upsert([row])
            elif answer.status == 409:
                written |= self._clashed(left[0], answer.said, before)
            else:
                written[left[0].key] = Written(left[0].key, "refused", problem=answer.said)
        refused = {row.key: Written(row.key, "refused", problem=problems.get(row.key, _UNTAKEN)) for row in rows}
        return {**refused, **written}

    def _told(
        self, answer: Answer, rows: Sequence[Row], before: dict[str, Record], problems: dict[str, str]
    ) -> dict[str, Written]:
        """What an answer tells of each; of what it does not tell it is read back."""
        named, done = {row.key: row for row in rows}, dict[str, Written]()
        for result in _listed(answer.body, "results"):
            kept = result.get("properties") or {}
            key = str(kept.get(KEY) or result.get("objectWriteTraceId") or "")
            if key in named:
                is_new = result.get("new")
                created = is_new if isinstance(is_new, bool) else key not in before
                done[key] = Written(key, "created" if created else "updated", str(result.get("id", "")))
        again = set[str]()
        for error in _listed(answer.body, "errors"):
            category, said = str(error.get("category", "")).upper(), str(error.get("message", ""))[:300]
            for key in _keys_of(error):
                if key in named and key not in done:
                    problems[key] = f"{category}: {said}"
                    if category.startswith(_PASSING):
                        again.add(key)
                    elif category == "CONFLICT":
                        done |= self._clashed(named[key], problems[key], before)
                        again.add(key)
                    else:
                        done[key] = Written(key, "refused", problem=problems[key])
        untold = [row for row in rows if row.key not in done and row.key not in again]
        return done | (self.read_back(untold, before) if untold else {})

    def _clashed(self, row: Row, said: str, before: dict[str, Record]) -> dict[str, Written]:
        """What a conflict means: it was written meanwhile, or is refused; empty if it is to be written again."""
        found = self._find_for([row])
        if row.key not in found:  # another of its values is taken
            return {row.key: Written(row.key, "refused", problem=said)}
        if found[row.key].holds(row):
            return {row.key: Written(row.key, "unchanged", found[row.key].id)}
        before[row.key] = found[row.key]
        other = Written.changed_meanwhile(row, found[row.key])
        return {} if other is None else {row.key: other}

    def _input(self, row: Row, before: Mapping[str, Record]) -> dict[str, Any]:
        sent = row.sent(before[row.key].sha256 if row.key in before else "")
        return {"id": row.key, "idProperty": KEY, "properties": sent, "objectWriteTraceId": row.key}

    @property
    def _path(self) -> str:
        return f"/crm/objects/{self.version}/{self.object}"


@dataclass(frozen=True, kw_only=True)
class SearchThenWrite(HttpCrm):
    """A CRM without upsert, as Pipedrive's API is: searched for the key, then created or updated, row by row."""

    object: str = "organizations"
    path: str = "/v1"
    fields: Mapping[str, str] = field(default_factory=dict)
    """Its names of properties, where it has others: `{"signoff_key": "4f1e…"}`."""

    def find(self, keys: Sequence[str], _properties: Sequence[str] = (), /) -> dict[str, Record]:
        found = {key: self._find(key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}

    def _find(self, key: str) -> Record | None:
        asked = {"term": key, "fields": "custom_fields", "exact_match": "true"}
        answer = self.ask("GET", f"{self.path}/{self.object}/search", params=asked)
        if answer.status != 200:
            raise CrmFailed(self.name, answer.said, sure=True, status=answer.status)
        found = _listed(answer.body.get("data") if isinstance(answer.body, Mapping) else None, "items")
        ids = list(dict.fromkeys(str((hit.get("item") or {}).get("id", "")) for hit in found))
        records = [record for one in ids if one and (record := self._read(one)) is not None and record.key == key]
        if len(records) > 1:
            several = ", ".join(record.id for record in records)
            problem = f"{self.object} {several} have the same key: merge them there"
            raise CrmFailed(self.name, problem, sure=True, of_row=True)
        return records[0] if records else None

    def _read(self, record_id: str) -> Record | None:
        answer = self.ask("GET", f"{self.path}/{self.object}/{quote(record_id, safe='')}")
        if answer.status == 404:
            return None
        kept = answer.body.get("data") if isinstance(answer.body, Mapping) else None
        if answer.status != 200 or not isinstance(kept, Mapping):
            raise CrmFailed(self.name, answer.said, sure=True, status=answer.status)
        ours = {theirs: name for name, theirs in self.fields.items()}
        return Record.read(record_id, {ours.get(str(name), str(name)): value for name, value in kept.items()})

    def upsert(self, rows: Sequence[Row]) -> list[Written]:
        return [self._upsert(row) for row in rows]

    def _upsert(self, row: Row) -> Written:
        problem = _UNTAKEN
        for _ in range(_TRIES):
            before = self.find([row.key])
            if (settled := _settled(row, before)) is not None:
                return settled
            known = before.get(row.key)
            sent = row.sent(known.sha256 if known is not None else "")
            body: dict[str, str] = {
                "name": row.name,
                **{self.fields.get(name, name): value for name, value in sent.items()},
            }
            way, where = ("PUT", f"/{quote(known.id, safe='')}") if known is not None else ("POST", "")
            try:
                answer = self.ask(way, f"{self.path}/{self.object}{where}", writes=True, json=body)
            except CrmFailed as error:
                if error.sure:
                    raise
                problem = error.problem
                if done := self.read_back([row], before):
                    return done[row.key]
                continue
            if answer.status < 300:
                kept = answer.body.get("data") if isinstance(answer.body, Mapping) else None
                made = str(kept.get("id", "")) if isinstance(kept, Mapping) else ""
                return Written(row.key, "updated" if known is not None else "created", made)
            problem = answer.said
            if answer.status not in (404, 409, 410):  # what it is written to was there a moment ago, or is there now
                break
        return Written(row.key, "refused", problem=problem)


def _settled(row: Row, found: Mapping[str, Record]) -> Written | None:
    """What there is to tell of a row before any write: it stands there just so, or somebody else changed it."""
    record = found.get(row.key)
    if record is not None and record.is_as(row):
        return Written(row.key, "unchanged", record.id)
    return Written.changed_meanwhile(row, record)


def _listed(body: Any, name: str) -> list[Mapping[str, Any]]:
    """The objects in a list of the answer, whatever else is there."""
    listed = body.get(name) if isinstance(body, Mapping) else None
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _keys_of(error: Mapping[str, Any]) -> Iterator[str]:
    """The rows that an error is about."""
    context = error.get("context")
    for name in ("objectWriteTraceId", "ids", "id"):
        named = context.get(name) if isinstance(context, Mapping) else None
        for key in named if isinstance(named, list) else [named] if isinstance(named, str) else []:
            yield str(key)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for place in range(0, len(items), _AT_ONCE):
        yield items[place : place + _AT_ONCE]
