"""The figures of a fleet as OpenMetrics, for Prometheus and its like, and whether it is healthy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from signoff.checkpoints import seconds_since
from signoff.checkpoints.errors import StoreError
from signoff.checkpoints.jobs import ALERTS, STATUSES, Which
from signoff.checkpoints.ledger import Ledger
from signoff.fleet.queue.overview import TO_DO, Overview, is_alive, overview_of
from signoff.wording import counted

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Sample = tuple[dict[str, str], float]
"""Labels and a value."""


def metrics_text(ledger: Ledger) -> str:
    """The figures of all jobs and workers now."""
    found = overview_of(ledger, Which())
    lines = [
        line for name, kind, says, samples in _families(ledger, found) for line in _told(name, kind, says, samples)
    ]
    return "\n".join([*lines, "# EOF\n"])


def ill(ledger: Ledger) -> str:
    """What is wrong with the fleet as a whole, in a sentence; empty if it is healthy."""
    if any(is_alive(slot) for slot in ledger.workers.all()):
        return ""
    left = sum(ledger.jobs.counts(Which(status=TO_DO)).values())
    return f"{counted(left, 'job')} to do, and no worker is alive." if left else ""


def serve(ledger: Ledger, host: str, port: int) -> ThreadingHTTPServer:
    """A server of `/metrics` and `/health`, to be served by the caller; its port is in `server_port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            known: dict[str, Callable[[], tuple[int, str, str]]] = {
                "/metrics": lambda: (200, CONTENT_TYPE, metrics_text(ledger)),
                "/health": lambda: _health(ledger),
            }
            answer = known.get(self.path.partition("?")[0])
            try:
                code, kind, text = answer() if answer else (404, "text/plain", "Here are /metrics and /health.\n")
            except StoreError as error:
                code, kind, text = 503, "text/plain", f"{error}\n"
            body = text.encode("utf-8")
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return ThreadingHTTPServer((host, port), Handler)


def _health(ledger: Ledger) -> tuple[int, str, str]:
    wrong = ill(ledger)
    return (503 if wrong else 200, "text/plain", f"{wrong or 'ok'}\n")


def _families(ledger: Ledger, found: Overview) -> Iterator[tuple[str, str, str, list[Sample]]]:
    by_tenant = [
        ({"tenant": tenant, "status": status}, float(counts.get(status, 0)))
        for tenant, counts in ledger.jobs.counts_by_tenant().items()
        for status in STATUSES
    ]
    yield "signoff_jobs", "gauge", "Jobs by tenant and how they stand.", by_tenant
    age = seconds_since(found.figures.oldest_queued) if found.figures.oldest_queued else 0.0
    yield "signoff_queue_age_seconds", "gauge", "Since when the oldest queued job is queued.", [({}, max(age, 0.0))]
    yield "signoff_questions", "gauge", "Questions of jobs that wait for people.", [({}, float(found.waiting))]
    asked = seconds_since(found.oldest_question) if found.oldest_question else 0.0
    yield "signoff_question_age_seconds", "gauge", "Since when the oldest of them waits.", [({}, max(asked, 0.0))]
    yield "signoff_effects_unknown", "gauge", "Effects of which nobody knows the outcome.", [({}, float(found.unknown))]
    held = {alert.name for alert in found.alerts}
    told: list[Sample] = [({"alert": name}, float(name in held)) for name in ALERTS]
    yield "signoff_alert", "gauge", "Whether something is wrong with the fleet: 1 while it is.", told
    yield "signoff_workers", "gauge", "Workers that are alive.", [({}, float(len(found.alive)))]
    places = float(sum(slot.places for slot in found.alive))
    yield "signoff_worker_places", "gauge", "Jobs that they do at once.", [({}, places)]
    yield "signoff_model_calls", "counter", "Calls of models for jobs.", [({}, float(found.figures.calls))]
    yield "signoff_cost_dollars", "counter", "What they cost.", [({}, found.figures.usd)]


def _told(name: str, kind: str, says: str, samples: list[Sample]) -> list[str]:
    total = "_total" if kind == "counter" else ""
    lines = [f"# TYPE {name} {kind}", f"# HELP {name} {says}"]
    return lines + [f"{name}{total}{_labels(labels)} {value!r}" for labels, value in samples]


def _labels(labels: dict[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
