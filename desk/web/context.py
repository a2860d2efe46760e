"""What every screen of the page needs: who looks, what is waiting, the templates, and the teams of the runs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signoff.checkpoints.errors import UnknownApproval, UnknownRun
from signoff.checkpoints.jobs import DEFAULT_TENANT
from signoff.checkpoints.ledger import Approval, Counts, Ledger, Person, RunRecord
from signoff.desk.driving import Background
from signoff.desk.errors import ForgedForm, NotManaging, NotThere, OfAllTenants, SignInNeeded
from signoff.desk.service import Service
from signoff.desk.web.files import Asset, load_assets
from signoff.desk.web.guarding import SIGN_INS_PER_MINUTE, Pace
from signoff.desk.web.identity import Identity, Visitor
from signoff.desk.web.rendering import environment
from signoff.fleet import Run
from signoff.graphs import Team
from signoff.settings import Settings
from signoff.tools import Action

_MOST_FIELDS: Final = 500
MANAGER: Final = "admin"
"""The role of those who change people, jobs, schedules and memories on a page that several use."""

Form = dict[str, str]
"""What a form sends; of a name that is there twice the last value."""


@dataclass(frozen=True)
class PageContext:
    """One page: the ledger that it shows, and whoever may see it."""

    settings: Settings
    ledger: Ledger
    identity: Identity
    pages: Environment = field(default_factory=environment)
    assets: Mapping[str, Asset] = field(default_factory=load_assets)
    sign_ins: Pace = field(default_factory=lambda: Pace(SIGN_INS_PER_MINUTE))
    teams_offered: tuple[str, ...] = ()
    """Names of those that runs can be started of here."""
    served: Service | None = None
    """What is served to programs too; None: nothing is."""

    def visitor(self, request: Request) -> Visitor:
        """Who asks; SignInNeeded if nobody knows. Asked of the ledger once a request."""
        known: Visitor | None = getattr(request.state, "visitor", None)
        if known is None:
            known = request.state.visitor = self.identity.visitor(request)
        if known is None:
            raise SignInNeeded
        return known

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A screen; of what is fetched again and again, nothing if it is what the browser has."""
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        nonce, prefix = request.state.nonce, request.scope.get("root_path", "")
        is_part = template.startswith("parts/")
        shared: dict[str, Any] = {
            "nonce": nonce,
            "url": lambda path: f"{prefix}{path}",
            "asset": lambda name: f"{prefix}/files/{self.assets[name].version}/{name}",
            "here": request.url.path.removeprefix(prefix),
            "person": visitor.person if visitor else None,
            "csrf": visitor.csrf if visitor else "",
            "counts": self._counts(request, visitor.person) if visitor and not is_part else None,
        }
        body = self.pages.get_template(template).render(**shared, **values)
        headers = {"cache-control": "no-store", "vary": "hx-request"}
        if is_part:
            headers["hx-ptag"] = tag = hashlib.sha256(body.replace(nonce, "").encode()).hexdigest()[:20]
            if status == 200 and request.headers.get("hx-ptag") == tag:
                return Response(status_code=304, headers=headers)
        return Response(body, status, headers, "text/html")

    def _counts(self, request: Request, person: Person) -> Counts:
        """How much waits for whoever asks; asked of the ledger once a request."""
        known: Counts | None = getattr(request.state, "counts", None)
        if known is None:
            known = request.state.counts = self.ledger.inbox.counts(person)
        return known

    def to(self, request: Request, path: str) -> Response:
        """Send the browser on."""
        return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", 303, {"cache-control": "no-store"})

    @cached_property
    def service(self) -> Service:
        """What runs are started, answered and driven by; shared with what else is served here."""
        return self.served or Service(self.settings, self.ledger)

    @property
    def background(self) -> Background:
        return self.service.background

    def team_of(self, record: RunRecord) -> Team | str:
        """The team of a run, or why it cannot be had here."""
        return self.service.teams.of(record, self.service.offers)

    def action_of(self, approval: Approval, record: RunRecord) -> tuple[Action[Any] | None, str]:
        """What an approval of this run is about; None if only another program knows, and why."""
        return self.service.teams.action_of(approval, record, self.service.offers)

    def open_run(self, run_id: str) -> Run:
        """The run with its team, to decide or go on with it."""
        return self.service.open_run(run_id)

    def go_on(self, approval: Approval) -> str:
        """Have its run driven on, if that can be done here; what becomes of it, in a sentence."""
        return self.service.go_on(approval)


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in."""

    context: PageContext
    request: Request
    person: Person
    form: Form
    """What was sent; empty where only something is looked at."""

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    @property
    def may_manage(self) -> bool:
        """Whether this person runs the page: it is theirs, or they have the role for it."""
        owner = self.context.identity.owner
        return MANAGER in self.person.roles or (bool(owner) and self.person.name == owner)

    def sees(self, tenant: str) -> bool:
        """Whether this person sees what is of this tenant; empty: nobody knows of which."""
        named = "" if tenant == DEFAULT_TENANT else tenant or "*"
        return self.person.sees_all or named in self.person.tenants

    @property
    def is_part(self) -> bool:
        """Whether only the part of the screen is asked for that may have changed."""
        return "hx-request" in self.request.headers

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """A screen, or a part of one."""
        return self.context.render(self.request, template, status, **values)

    def to(self, path: str) -> Response:
        """Send the browser on."""
        return self.context.to(self.request, path)


Answering = Callable[[Visit], Response]


def screen(show: Answering) -> Callable[[Request], Awaitable[Response]]:
    """A screen for those who are signed in."""

    @wraps(show)
    async def answer(request: Request) -> Response:
        context: PageContext = request.app.state.page
        return await run_in_threadpool(lambda: show(Visit(context, request, context.visitor(request).person, {})))

    return answer


def for_all(show: Answering) -> Answering:
    """What tells of all tenants, and so only those whose tenants are not named."""

    @wraps(show)
    def answer(visit: Visit) -> Response:
        if not visit.person.sees_all and "" not in visit.person.tenants:
            raise OfAllTenants(visit.person.tenants)
        return show(visit)

    return answer


def deed(do: Answering) -> Callable[[Request], Awaitable[Response]]:
    """What changes something, by a form that a page of this session sent."""

    @wraps(do)
    async def answer(request: Request) -> Response:
        context: PageContext = request.app.state.page
        form = await read_form(request)

        def run() -> Response:
            visitor = context.visitor(request)
            given = form.pop("csrf", "")
            if visitor.csrf and not secrets.compare_digest(given.encode(), visitor.csrf.encode()):
                raise ForgedForm
            return do(Visit(context, request, visitor.person, form))

        return await run_in_threadpool(run)

    return answer


def managed(do: Answering) -> Answering:
    """What only whoever runs the page may do."""

    @wraps(do)
    def answer(visit: Visit) -> Response:
        if not visit.may_manage:
            raise NotManaging(MANAGER)
        return do(visit)

    return answer


async def read_form(request: Request) -> Form:
    """The fields of a form, with line ends as they are written here."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:
        raise ForgedForm from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def query_of(visit: Visit, *names: str) -> dict[str, str]:
    """Of the address's query what these names say."""
    return {name: visit.request.query_params.get(name, "")[:200] for name in names}


def entry_number(said: str) -> int | None:
    """The number of an entry of the log; None if this is none, or larger than the database holds."""
    return int(said) if said.isdecimal() and len(said) < 18 else None


def address_of(path: str, **query: str) -> str:
    """A path with a query of what is not empty."""
    said = "&".join(f"{name}={quote(value)}" for name, value in query.items() if value)
    return f"{path}?{said}" if said else path


def approval_at(visit: Visit) -> Approval:
    """The approval that an address names, as it stands now."""
    if not visit.request.path_params["id"].startswith("a-"):
        raise NotThere("approval")
    found = visit.ledger.approvals.get(visit.request.path_params["id"])
    if visit.ledger.inbox.run(visit.person, found.run_id) is None:
        raise UnknownApproval(visit.request.path_params["id"])
    return found


def run_at(visit: Visit) -> RunRecord:
    """The run that an address names, as it stands now."""
    found = visit.ledger.inbox.run(visit.person, visit.request.path_params["id"])
    if found is None:
        raise UnknownRun(visit.request.path_params["id"])
    return found
