"""Rate limits of every dialect, and how fast a crowd of calls comes through them: wall ÷ bound, refusals, calls lost.

All cells are simulated with a clock of their own, by the limiter's own steps (`simulated_limits.py`): an hour of
waiting in a minute. Fifteen are run over HTTP in real time too. The endpoints are written from what the dialects say.
All of them stand here, and so the file is longer than most.
`python3 make.py bench -- limits` takes about 10 minutes; with `--quick` it takes one.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

import simulated_limits as said
from rich import box
from rich.console import Console
from rich.table import Table
from simulated_limits import (
    Both,
    Bucket,
    Cell,
    Changing,
    Counter,
    Fixed,
    Gcra,
    Leaky,
    Punishing,
    Queueing,
    Simulation,
    Sliding,
)

LEGEND: Final = (
    "Bound: the calls ÷ the long-run limit, and one answer's time. Cold: nothing known of the endpoint. Known: the "
    "same crowd again, by other processes that know only what the ledger says. * beyond the goal: wall 1.25 cold and "
    "1.10 known, refused 2 % cold and 1 % known."
)
GOALS: Final = (1.25, 0.02, 1.10, 0.01)


def _tokens(chance: random.Random) -> float:
    return chance.choice((100, 200, 300, 2000))


def _many_tokens(chance: random.Random) -> float:
    return chance.choice((50, 400, 800, 1500, 6000))


def _buckets() -> Iterator[Cell]:
    """An endpoint that says Retry-After in whole seconds and no more."""
    sizes = [(5, 1, 100), (5, 10, 100), (50, 1, 300), (50, 10, 300), (50, 10, 1000), (50, 100, 1000)]
    for rate, burst, jobs in [*sizes, (100, 10, 300), (100, 10, 1000), (500, 100, 3000)]:
        is_real = (rate, burst, jobs) in ((50, 10, 300), (100, 10, 1000), (5, 10, 100), (500, 100, 3000))
        name = f"Retry-After, {rate}/s, burst {burst}, {jobs} calls"
        yield Cell(name=name, counter=lambda r=rate, b=burst: Bucket(r, b), jobs=jobs, is_real=is_real)  # type: ignore[misc]


def _fifty() -> Counter:
    return Bucket(50, 10)


def _named() -> Iterator[Cell]:
    """Endpoints whose headers name their limits."""
    dialects = said.openai, said.ietf, said.ietf_draft7, said.ietf_draft6, said.ietf_daily
    for dialect in (*dialects, said.anthropic, said.github, said.azure, said.azure_limits):
        name, is_real = dialect.__name__.replace("_", " "), dialect in (said.openai, said.ietf, said.anthropic)
        yield Cell(name=f"{name}, bucket 50/s", counter=lambda: Bucket(50, 50), dialect=dialect, is_real=is_real)
        yield Cell(name=f"{name}, window 100/2 s", counter=lambda: Fixed(100, 2), dialect=dialect, jobs=600)


TUNED: Final = (
    *_buckets(),
    Cell(name="Retry-After, refused as slowly as answered, 300", counter=_fifty, refused_in=None),
    Cell(name="Retry-After, refused as slowly as answered, 1,000", counter=_fifty, refused_in=None, jobs=1000),
    Cell(name="Retry-After: 1 always, GCRA burst 5", counter=lambda: Gcra(50, 5), dialect=said.retry_one),
    Cell(name="Retry-After, three processes", counter=_fifty, processes=3, is_real=True),
    Cell(name="Retry-After, 100/s, three processes", counter=lambda: Bucket(100, 10), processes=3, jobs=1000),
    Cell(name="Retry-After, answers take 2 s", counter=_fifty, jobs=1000, latency=2.0),
    Cell(name="Retry-After, answers take 20 ms", counter=_fifty, latency=0.02),
    Cell(name="Retry-After as a date", counter=_fifty, dialect=said.retry_date, is_real=True),
    Cell(name="Retry-After in milliseconds", counter=_fifty, dialect=said.retry_exact),
    Cell(name="503 and Retry-After", counter=_fifty, status=503, is_real=True),
    Cell(name="429 and nothing else", counter=_fifty, dialect=said.nothing, is_real=True),
    Cell(name="429 alone, three processes", counter=_fifty, dialect=said.nothing, processes=3, jobs=1000),
    Cell(name="429 alone, window 100/s", counter=lambda: Fixed(100, 1), dialect=said.nothing, jobs=1000),
    Cell(name="Retry-After, window 50/s", counter=lambda: Fixed(50, 1), jobs=600, is_real=True),
    Cell(name="Retry-After, window 500/10 s", counter=lambda: Fixed(500, 10), jobs=1000),
    Cell(name="Retry-After, sliding 100/s", counter=lambda: Sliding(100, 1), jobs=1000),
    *_named(),
    Cell(name="openai, bucket 500/min", counter=lambda: Bucket(500 / 60, 500), dialect=said.openai, jobs=700),
    Cell(name="openai, window 500/s", counter=lambda: Fixed(500, 1), dialect=said.openai, jobs=3000),
    Cell(name="openai, window 600/10 s", counter=lambda: Fixed(600, 10), dialect=said.openai, jobs=1200, is_real=True),
    Cell(name="openai, three processes", counter=lambda: Bucket(50, 50), dialect=said.openai, processes=3),
    Cell(name="github, window 50/s", counter=lambda: Fixed(50, 1), dialect=said.github),
    Cell(name="anthropic, bucket 50/min", counter=lambda: Bucket(50 / 60, 50), dialect=said.anthropic, jobs=120),
    Cell(
        name="tokens by headers",
        counter=lambda: Bucket(30_000, 60_000),
        dialect=said.openai_tokens,
        weight=_tokens,
    ),
    Cell(
        name="tokens by Retry-After",
        counter=lambda: Bucket(30_000, 10_000),
        weight=_tokens,
    ),
    Cell(name="20 in flight, Retry-After", counter=None, at_once=20, jobs=600),
    Cell(name="20 in flight, 429 alone", counter=None, dialect=said.nothing, at_once=20, jobs=600, is_real=True),
    Cell(name="20 in flight, answers vary by half", counter=None, at_once=20, jobs=600, jitter=0.5),
    Cell(name="20 in flight, three processes", counter=None, at_once=20, jobs=600, processes=3, jitter=0.2),
    Cell(
        name="100, then 20, then 200/s",
        counter=lambda: Changing(((0, Bucket(100, 10)), (5, Bucket(20, 10)), (13, Bucket(200, 10)))),
        jobs=1660,
        bound=18.2,
    ),
    Cell(name="no limit, 30 calls of 2 s", counter=None, dialect=said.nothing, jobs=30, latency=2.0),
    Cell(name="no limit, 100 calls of 2 s", counter=None, dialect=said.nothing, jobs=100, latency=2.0),
    Cell(name="no limit, 1,000 jobs of 6 calls", counter=None, dialect=said.nothing, jobs=1000, calls=6),
    Cell(name="told right, 100/s", counter=lambda: Bucket(100, 10), told=100),
    Cell(name="told right, 50/s, burst 1", counter=lambda: Bucket(50, 1), told=50),
    Cell(name="told twice too much", counter=_fifty, told=100, is_real=True),
    Cell(name="told half", counter=_fifty, told=25, bound=12.2),
    Cell(name="20 calls", counter=_fifty, jobs=20),
    Cell(name="100 jobs of 6 calls", counter=_fifty, jobs=100, calls=6),
)
"""What the limiter was tuned on."""

HELD_BACK: Final = (
    Cell(name="7/s, burst 3", counter=lambda: Bucket(7, 3), jobs=140),
    Cell(name="23/s, burst 7, answers vary", counter=lambda: Bucket(23, 7), jobs=400, latency=0.7, jitter=0.6),
    Cell(name="80/s, burst 25", counter=lambda: Gcra(80, 25), jobs=800, network=(0.02, 0.004)),
    Cell(name="240/s, burst 40", counter=lambda: Bucket(240, 40), jobs=2000, latency=0.4, jitter=0.3),
    Cell(name="240/s, burst 2, three processes", counter=lambda: Gcra(240, 2), jobs=1500, processes=3),
    Cell(name="90/min, burst 1", counter=lambda: Bucket(1.5, 1), jobs=60, latency=1.0),
    Cell(name="90/min, window", counter=lambda: Fixed(90, 60), jobs=250),
    Cell(name="33/s, Retry-After rounded up twice", counter=lambda: Bucket(33, 12), dialect=said.retry_more, jobs=500),
    Cell(name="65/s, a date, clocks 40 s apart", counter=lambda: Bucket(65, 15), dialect=said.retry_date, skew=40.0),
    Cell(name="12/s, 429 alone, answers take 5 s", counter=lambda: Bucket(12, 6), dialect=said.nothing, latency=5.0),
    Cell(name="150/s, refused in 60 ms", counter=lambda: Bucket(150, 30), refused_in=0.06, jobs=1200),
    Cell(name="40/3 s, sliding", counter=lambda: Sliding(40, 3), jobs=300),
    Cell(name="github, 70/5 s, clocks 3 s apart", counter=lambda: Fixed(70, 5), dialect=said.github, skew=-3.0),
    Cell(name="anthropic, 400/min", counter=lambda: Bucket(400 / 60, 40), dialect=said.anthropic, jobs=200),
    Cell(name="ietf, 23/s", counter=lambda: Bucket(23, 23), dialect=said.ietf, latency=1.5, jitter=0.5, processes=3),
    Cell(
        name="openai, 80/s, three processes", counter=lambda: Bucket(80, 80), dialect=said.openai, processes=3, jobs=900
    ),
    Cell(name="azure, 23/s, burst 9", counter=lambda: Bucket(23, 9), dialect=said.azure),
    Cell(
        name="tokens by Retry-After, 9,000/s",
        counter=lambda: Bucket(9000, 6000),
        weight=lambda chance: chance.uniform(50, 700),
    ),
    Cell(name="7 in flight", counter=None, at_once=7, jobs=200, latency=0.5, jitter=0.4),
    Cell(
        name="30, then 90/s", counter=lambda: Changing(((0, Bucket(30, 10)), (6, Bucket(90, 10)))), jobs=720, bound=12.2
    ),
    Cell(name="no limit, 300 calls of 5 s", counter=None, dialect=said.nothing, jobs=300, latency=5.0),
    Cell(name="told a tenth too much", counter=lambda: Bucket(80, 10), told=88, jobs=800),
)
"""What it was not tuned on."""

VARIED: Final = (
    Cell(name="100/min, burst 20", counter=lambda: Bucket(100 / 60, 20), jobs=100),
    Cell(name="600/min, burst 600, silent", counter=lambda: Bucket(10, 600), jobs=900, dialect=said.nothing),
    Cell(name="leaky 40/s, length 30", counter=lambda: Leaky(40, 30), jobs=400),
    Cell(name="leaky 10/s, length 200, bare", counter=lambda: Leaky(10, 200), jobs=300, dialect=said.nothing),
    Cell(
        name="100 then 10 then 100/s",
        counter=lambda: Changing(((0, Bucket(100, 10)), (4, Bucket(10, 10)), (12, Bucket(100, 10)))),
        jobs=1280,
        bound=20.2,
    ),
    Cell(
        name="100 then 10 then 100/s by openai",
        counter=lambda: Changing(((0, Bucket(100, 100)), (4, Bucket(10, 10)), (12, Bucket(100, 100)))),
        jobs=1280,
        bound=20.2,
        dialect=said.openai,
    ),
    Cell(
        name="date, 20/s, burst 40, 3 proc",
        counter=lambda: Bucket(20, 40),
        dialect=said.retry_date,
        processes=3,
        jobs=400,
    ),
    Cell(name="reset in ms, bucket 50/s", counter=lambda: Bucket(50, 50), dialect=said.reset_milliseconds),
    Cell(name="reset in ms, window 100/2s", counter=lambda: Fixed(100, 2), dialect=said.reset_milliseconds, jobs=600),
    Cell(name="reset epoch ms, bucket 50/s", counter=lambda: Bucket(50, 50), dialect=said.reset_epoch_milliseconds),
    Cell(
        name="reset epoch ms, window 100/2s",
        counter=lambda: Fixed(100, 2),
        dialect=said.reset_epoch_milliseconds,
        jobs=600,
    ),
    Cell(name="reset date, window 100/2s", counter=lambda: Fixed(100, 2), dialect=said.reset_date, jobs=600),
    Cell(name="reset date, bucket 50/s", counter=lambda: Bucket(50, 50), dialect=said.reset_date, jobs=600),
    Cell(name="reset s.fff, window 60/3s", counter=lambda: Fixed(60, 3), dialect=said.reset_seconds, jobs=300),
    Cell(
        name="reset s.fff, bucket 20/s b 20",
        counter=lambda: Bucket(20, 20),
        dialect=said.reset_seconds,
        jobs=300,
        processes=3,
    ),
    Cell(
        name="tokens only by Retry-After, 3 proc",
        counter=lambda: Bucket(30_000, 15_000),
        weight=_tokens,
        processes=3,
        jobs=500,
    ),
    Cell(
        name="both named, requests bind",
        counter=lambda: Both(Bucket(20, 20), Bucket(60_000, 60_000)),
        weight=_tokens,
        dialect=said.openai_both,
        jobs=300,
        bound=15.2,
    ),
    Cell(
        name="both named, tokens bind",
        counter=lambda: Both(Bucket(200, 200), Bucket(30_000, 30_000)),
        weight=_tokens,
        dialect=said.openai_both,
        jobs=400,
        bound=8.9,
    ),
    Cell(
        name="both, Retry-After, tokens bind",
        counter=lambda: Both(Bucket(100, 20), Bucket(20_000, 20_000)),
        weight=_tokens,
        jobs=400,
        bound=13.2,
    ),
    Cell(
        name="both, Retry-After, near",
        counter=lambda: Both(Bucket(40, 20), Bucket(26_000, 26_000)),
        weight=_tokens,
        jobs=400,
        bound=10.2,
    ),
    Cell(name="refused count, 50/s", counter=lambda: Punishing(50, 1), jobs=500),
    Cell(name="refused count, 100/5 s, bare", counter=lambda: Punishing(100, 5), jobs=400, dialect=said.nothing),
    Cell(name="refused count, 30/s, 3 proc", counter=lambda: Punishing(30, 1), jobs=400, processes=3),
    Cell(
        name="jitter 0.9, 50/s", counter=lambda: Bucket(50, 10), jitter=0.9, latency=1.0, network=(0.03, 0.03), jobs=500
    ),
    Cell(
        name="jitter, window 100/s, bare",
        counter=lambda: Fixed(100, 1),
        jitter=0.5,
        network=(0.02, 0.02),
        dialect=said.nothing,
        jobs=800,
    ),
    Cell(name="queues 10 at once", counter=lambda: Queueing(10, 0.2), dialect=said.nothing, jobs=500),
    Cell(
        name="queues 64 at once, 2 s", counter=lambda: Queueing(64, 2.0), dialect=said.nothing, jobs=500, latency=0.05
    ),
    Cell(name="8 in flight, 8 proc", counter=None, at_once=8, jobs=240, processes=8, jitter=0.3, latency=0.5),
    Cell(name="40 in flight, 3 proc", counter=None, at_once=40, jobs=900, processes=3, jitter=0.5, latency=0.6),
    Cell(
        name="5 in flight, bare, 3 proc, long",
        counter=None,
        at_once=5,
        jobs=60,
        processes=3,
        latency=3.0,
        jitter=0.5,
        dialect=said.nothing,
    ),
    Cell(name="100 in flight, 3 proc", counter=None, at_once=100, jobs=1500, processes=3, latency=1.0, jitter=0.2),
    Cell(name="3 in flight, 1 proc", counter=None, at_once=3, jobs=90, latency=0.7, jitter=0.2),
    Cell(
        name="12 in flight, jobs of 5", counter=None, at_once=12, jobs=60, calls=5, latency=0.4, jitter=0.5, processes=3
    ),
    Cell(
        name="20 in flight, 4 proc uneven",
        counter=None,
        at_once=20,
        jobs=601,
        latency=0.3,
        jitter=0.6,
        processes=4,
        refused_in=0.05,
    ),
)
"""Endpoints of other kinds, on which it was looked at."""

KEPT_APART: Final = (
    Cell(name="90/min, burst 30, a date", counter=lambda: Bucket(1.5, 30), jobs=120, dialect=said.retry_date),
    Cell(name="1,200/min, burst 200", counter=lambda: Bucket(20, 200), jobs=700, latency=1.5, jitter=0.4),
    Cell(name="leaky 25/s, length 60, milliseconds", counter=lambda: Leaky(25, 60), jobs=350, dialect=said.retry_exact),
    Cell(name="leaky 120/s, length 10, three processes", counter=lambda: Leaky(120, 10), jobs=900, processes=3),
    Cell(
        name="60, then 6, then 60/s, 429 alone",
        counter=lambda: Changing(((0, Bucket(60, 20)), (5, Bucket(6, 2)), (15, Bucket(60, 20)))),
        jobs=960,
        bound=25.2,
        dialect=said.nothing,
    ),
    Cell(
        name="200, then 20, then 200/s, ietf",
        counter=lambda: Changing(((0, Bucket(200, 200)), (3, Bucket(20, 20)), (9, Bucket(200, 200)))),
        jobs=1520,
        bound=13.2,
        dialect=said.ietf,
    ),
    Cell(
        name="reset in milliseconds, window 60/4 s",
        counter=lambda: Fixed(60, 4),
        dialect=said.reset_milliseconds,
        jobs=240,
        processes=3,
    ),
    Cell(
        name="reset in milliseconds, bucket 15/s",
        counter=lambda: Bucket(15, 30),
        dialect=said.reset_milliseconds,
        jobs=250,
        latency=0.6,
    ),
    Cell(
        name="reset of an epoch in milliseconds, 80/s",
        counter=lambda: Fixed(80, 1),
        dialect=said.reset_epoch_milliseconds,
        jobs=700,
        skew=5.0,
    ),
    Cell(name="reset as a date, 30/10 s", counter=lambda: Fixed(30, 10), dialect=said.reset_date, jobs=90, latency=0.7),
    Cell(
        name="reset in seconds, 12/s, three processes",
        counter=lambda: Fixed(12, 1),
        dialect=said.reset_seconds,
        jobs=200,
        processes=3,
    ),
    Cell(
        name="tokens alone, 429 alone",
        counter=lambda: Bucket(40_000, 20_000),
        weight=_many_tokens,
        dialect=said.nothing,
        jobs=300,
    ),
    Cell(
        name="both named, windows of a minute",
        counter=lambda: Both(Fixed(300, 60), Fixed(400_000, 60)),
        weight=_many_tokens,
        dialect=said.openai_both,
        jobs=500,
        bound=131.2,
    ),
    Cell(
        name="both, 429 alone, tokens bind",
        counter=lambda: Both(Bucket(60, 15), Bucket(50_000, 50_000)),
        weight=_many_tokens,
        dialect=said.nothing,
        jobs=400,
        bound=14.2,
    ),
    Cell(name="refused calls count, 20/s", counter=lambda: Punishing(20, 1), jobs=300, latency=0.8, jitter=0.3),
    Cell(
        name="refused calls count, 150/10 s, three processes", counter=lambda: Punishing(150, 10), jobs=600, processes=3
    ),
    Cell(
        name="35/s, answers and ways vary widely",
        counter=lambda: Gcra(35, 12),
        jitter=0.9,
        latency=2.0,
        network=(0.05, 0.05),
        jobs=500,
    ),
    Cell(
        name="a queue behind 24, answers take 0.5 s",
        counter=lambda: Queueing(24, 0.5),
        dialect=said.nothing,
        jobs=600,
        latency=0.02,
    ),
    Cell(
        name="a queue behind 4, three processes",
        counter=lambda: Queueing(4, 0.1),
        dialect=said.nothing,
        jobs=200,
        latency=0.02,
        processes=3,
    ),
    Cell(
        name="16 in flight, three processes, 1 s",
        counter=None,
        at_once=16,
        jobs=320,
        processes=3,
        latency=1.0,
        jitter=0.4,
    ),
    Cell(
        name="30 in flight, 429 alone, eight processes",
        counter=None,
        at_once=30,
        jobs=600,
        processes=8,
        latency=0.4,
        jitter=0.3,
        dialect=said.nothing,
    ),
    Cell(
        name="6 in flight, two processes, jobs of 4",
        counter=None,
        at_once=6,
        jobs=60,
        calls=4,
        processes=2,
        latency=0.6,
        jitter=0.2,
    ),
    Cell(
        name="64 in flight, a date, one process",
        counter=None,
        at_once=64,
        jobs=1200,
        latency=0.7,
        jitter=0.3,
        dialect=said.retry_date,
    ),
    Cell(
        name="10 in flight, answers take 5 s, three processes",
        counter=None,
        at_once=10,
        jobs=90,
        processes=3,
        latency=5.0,
        jitter=0.5,
    ),
)
"""What nobody tunes by: written before, and run when all was done."""


SILENT: Final = said.retry_seconds, said.retry_one, said.retry_more, said.retry_exact, said.retry_date, said.nothing
NAMING: Final = said.openai, said.ietf, said.ietf_draft7, said.ietf_draft6, said.anthropic, said.github, said.azure


def drawn(seed: int, number: int = 60) -> Iterator[Cell]:
    """Endpoints and crowds by chance: nobody can have tuned for them."""
    chance = random.Random(seed)
    for place in range(number):
        allowed, seconds = chance.choice((3, 9, 17, 35, 65, 130, 320)), chance.choice((1, 1, 1, 60))
        burst, calls = chance.choice((1, 2, 5, 20, 60)), chance.randint(1, 8)
        total = min(
            int(chance.choice((15, 40, 100, 300, 800)) * chance.uniform(0.7, 1.0)) + 5, 1200 * allowed // seconds
        )
        kind = chance.choice(("bucket", "bucket", "gcra", "window", "sliding", "in flight"))
        makers: dict[str, Callable[[], Counter]] = {
            "bucket": lambda a=allowed, s=seconds, b=burst: Bucket(a / s, b),  # type: ignore[misc]
            "gcra": lambda a=allowed, s=seconds, b=burst: Gcra(a / s, b),  # type: ignore[misc]
            "window": lambda a=allowed, s=seconds: Fixed(a, s),  # type: ignore[misc]
            "sliding": lambda a=allowed, s=seconds: Sliding(a, s),  # type: ignore[misc]
        }
        dialect = chance.choice(NAMING if chance.random() < 0.4 and kind != "in flight" else SILENT)
        latency = 0.03 * (4 / 0.03) ** chance.random()
        shape = f", burst {burst}" if kind in ("bucket", "gcra") else ""
        cell = Cell(
            name="",
            counter=makers.get(kind),
            dialect=dialect,
            jobs=max(total // calls, 4),
            calls=calls,
            latency=latency,
            jitter=chance.choice((0.0, 0.2, 0.5)),
            at_once=0 if kind in makers else allowed,
            processes=chance.choice((1, 2, 4)),
        )
        limit = f"{kind} {allowed}/{seconds} s{shape}" if kind in makers else f"{allowed} in flight"
        crowd = f"{cell.jobs}×{calls} of {latency:.2g} s ±{cell.jitter:.0%}, {cell.processes} proc."
        yield replace(cell, name=f"{place}: {limit}, {dialect.__name__}, {crowd}")


@dataclass(frozen=True)
class Result:
    """How the crowd of one cell fared, cold and with the pace known."""

    cold: float
    refused_cold: float
    known: float
    refused_known: float
    lost: int

    @property
    def figures(self) -> tuple[float, float, float, float]:
        return self.cold, self.refused_cold, self.known, self.refused_known


def simulate(cell: Cell, seeds: int = 3) -> Result:
    """The medians of several simulations."""
    found, lost = list[tuple[float, float, float, float]](), 0
    for seed in range(1, seeds + 1):
        simulation = Simulation(cell, seed=seed)
        cold = simulation.crowd()
        known = simulation.again()
        found.append((cold.ratio, cold.share, known.ratio, known.share))
        lost += 2 * cell.jobs - cold.done - known.done
    cold_wall, cold_share, known_wall, known_share = (median(figures) for figures in zip(*found, strict=True))
    return Result(cold_wall, cold_share, known_wall, known_share, lost)


async def _call_all(cell: Cell, url: str, database: str, jobs: int) -> tuple[float, float, int]:
    """Do so many jobs with the limiter alone: when they began and ended, and how many were lost."""
    import aiohttp

    from signoff.agents.models.rate_limiter import RateLimit, limiter_for
    from signoff.checkpoints.ledger.ledger import Ledger

    ledger = Ledger(database)
    limiter = limiter_for(ledger, url, RateLimit(60 * cell.told) if cell.told else None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def job(share: str) -> None:
            left = cell.calls
            while left:
                ticket = await limiter.admit(share=share)
                async with session.post(url) as response:
                    await response.read()
                if response.status == 200:
                    ticket.answered(response.headers, 0)
                    left -= 1
                else:
                    ticket.limited(None, response.headers)

        began = time.time()
        ended = await asyncio.gather(*(job(f"job-{number}") for number in range(jobs)), return_exceptions=True)
    over = time.time()
    ledger.close()
    return began, over, sum(error is not None for error in ended)


def _run_process(name: str, url: str, database: str, jobs: int) -> tuple[float, float, int]:
    cell = next(cell for cell in TUNED if cell.name == name)
    return asyncio.run(_call_all(cell, url, database, jobs))


async def _serve(cell: Cell) -> None:
    """The endpoint of a cell over HTTP, until whoever started this process is gone."""
    from aiohttp import web

    counter, asked, refused, in_flight = (cell.counter() if cell.counter else None), 0, 0, 0

    async def call(request: web.Request) -> web.Response:
        nonlocal asked, refused, in_flight
        await request.read()
        asked += 1
        is_full = cell.at_once > 0 and in_flight >= cell.at_once
        verdict = counter.take(time.monotonic(), 1.0) if counter else said.Verdict(not is_full, 0, 0, 0, 0.1, 1.0)
        headers = dict(cell.dialect(verdict, time.time())) if counter or cell.at_once else {}
        if not verdict.taken:
            refused += 1
            return web.Response(status=cell.status, headers=headers)
        in_flight += 1
        await asyncio.sleep(cell.latency)
        in_flight -= 1
        return web.Response(headers=headers)

    async def counts(_: web.Request) -> web.Response:
        return web.json_response([asked, refused])

    app = web.Application()
    app.add_routes([web.post("/", call), web.get("/", counts)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def _endpoint(cell: Cell) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", cell.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        process.kill()


def run_for_real(cell: Cell) -> Result:
    """Two crowds over HTTP, the second by new processes."""
    import urllib.request

    figures, lost = list[float](), 0
    with _endpoint(cell) as url, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = [0, 0]
        for _ in range(2):
            shares = [cell.jobs // cell.processes] * cell.processes
            tasks = [(cell.name, url, str(Path(folder) / "limits.db"), jobs) for jobs in shares]
            with multiprocessing.Pool(cell.processes) as pool:
                ended = pool.starmap(_run_process, tasks)
            wall = max(over for _, over, _ in ended) - min(began for began, _, _ in ended)
            lost += sum(errors for _, _, errors in ended)
            with urllib.request.urlopen(url, timeout=30) as response:
                counts = json.load(response)
            asked, refused = (now - then for now, then in zip(counts, before, strict=True))
            before = counts
            rate = cell.counter().rate if cell.counter else cell.at_once / cell.latency
            bound = cell.bound or sum(shares) * cell.calls / rate + cell.latency
            figures += [wall / bound, refused / max(asked, 1)]
    return Result(figures[0], figures[1], figures[2], figures[3], lost)


def is_out_of_reach(cell: Cell) -> bool:
    """Whether a single refusal is more than the goal allows, of an endpoint that tells its limit only by refusing."""
    calls = cell.jobs * cell.calls
    if 1 / (calls + 1) <= GOALS[1] + 0.004 or cell.told or cell.dialect not in (*SILENT, said.azure):
        return False
    counter = cell.counter() if cell.counter else None
    if counter is None:
        return 0 < cell.at_once < cell.jobs
    return not all(counter.take(0.0, 1.0).taken for _ in range(calls))


def _table(title: str, results: dict[str, Result], *, markdown: bool) -> Table:
    table = Table(title=f"{title}, {len(results)} cells", box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    table.add_column("endpoint")
    for column in ("cold, wall ÷ bound", "refused", "known, wall ÷ bound", "refused", "lost"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, result in results.items():
        stars = ["*" if figure > goal + 0.004 else "" for figure, goal in zip(result.figures, GOALS, strict=True)]
        shown = [f"{figure:.2f}" if place % 2 == 0 else f"{figure:.1%}" for place, figure in enumerate(result.figures)]
        table.add_row(name, *(a + b for a, b in zip(shown, stars, strict=True)), str(result.lost))
    kept = [sum(r.figures[place] <= goal + 0.004 for r in results.values()) for place, goal in enumerate(GOALS)]
    table.add_row("within the goal", *map(str, kept), str(sum(not r.lost for r in results.values())))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one simulation of each cell, and nothing in real time")
    parser.add_argument("--real", action="store_true", help="only what is run over HTTP in real time")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a document")
    parser.add_argument("--only", default="", help="only the cells with these words in their name")
    parser.add_argument("--drawn", type=int, metavar="SEED", help="only simulate 60 endpoints drawn by this seed")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(_serve(next(cell for cell in TUNED if cell.name == asked.serve)))
        return
    multiprocessing.set_start_method("spawn")
    began, progress = time.perf_counter(), Console(stderr=True)
    console = Console() if sys.stdout.isatty() else Console(width=160)

    def measure(title: str, cells: tuple[Cell, ...], run: Callable[[Cell], Result]) -> None:
        results = dict[str, Result]()
        for cell in cells:
            if asked.only in cell.name:
                progress.print(f"{title}: {cell.name}...")
                results[cell.name] = run(cell)
        if results:
            console.print(_table(title, results, markdown=asked.markdown))
            few = sum(is_out_of_reach(cell) for cell in cells if cell.name in results)
            console.print(
                f"Out of reach: {few}, of whose calls one refusal, the only word of the limit, is over 2 %.\n"
            )

    if asked.drawn is not None:
        measure("Drawn", tuple(drawn(asked.drawn)), lambda cell: simulate(cell, 1))
    elif not asked.real:
        seeds = 1 if asked.quick else 3
        measure("Simulated", TUNED, lambda cell: simulate(cell, seeds))
        measure("Simulated, not tuned on", HELD_BACK, lambda cell: simulate(cell, seeds))
        measure("Simulated, other endpoints", VARIED, lambda cell: simulate(cell, seeds))
        measure("Simulated, kept apart", KEPT_APART, lambda cell: simulate(cell, seeds))
    if not asked.quick and asked.drawn is None:
        measure("Over HTTP", tuple(cell for cell in TUNED if cell.is_real), run_for_real)
    packages = ("signoff", "aiohttp", "sqlalchemy")
    console.print(
        f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in packages)}; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; {time.perf_counter() - began:.0f} s."
    )
    console.print(LEGEND)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
