"""The scrubber finds every spelling in every place, and leaves all else as it is."""

from __future__ import annotations

import base64
import html
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

from hypothesis import given, settings, strategies as st

from signoff.tools.broker.scrubber import REDACTED, Scrubber

SECRETS = st.text(st.characters(codec="utf-8"), min_size=8, max_size=40)
CUTS = st.lists(st.integers(0, 200), max_size=12)

OF_GSON = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&'="}
OF_NET = {ord(mark): f"\\u{ord(mark):04X}" for mark in "<>&'+`"}
SPELLINGS = (
    str.encode,
    lambda secret: quote(secret, safe="").encode(),
    lambda secret: quote(secret, safe="").lower().encode() if secret.islower() else secret.encode(),
    lambda secret: quote_plus(secret).encode(),
    lambda secret: json.dumps(secret)[1:-1].encode(),
    lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
    lambda secret: html.escape(secret).encode(),
    lambda secret: json.dumps(secret)[1:-1].translate(OF_GSON).encode(),
    lambda secret: json.dumps(secret)[1:-1].translate(OF_NET).encode(),
    lambda secret: "".join(f"&#{ord(mark)};" if mark in "<>&\"'" else mark for mark in secret).encode(),
    lambda secret: quote(secret, safe="!'()*").encode(),
    lambda secret: secret.encode().hex().encode(),
    lambda secret: secret.encode().hex().upper().encode(),
)


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place for place in cuts if place < len(raw)), len(raw)]
    return [raw[start:end] for start, end in pairwise(places)]


def scrub(secret: str, pieces: list[bytes]) -> bytes:
    stream = Scrubber([secret]).stream()
    return b"".join([*map(stream.feed, pieces), stream.finish()])


@settings(deadline=None)
@given(SECRETS, st.sampled_from(SPELLINGS), st.binary(max_size=60), st.binary(max_size=60), CUTS)
def test_no_spelling_comes_through_wherever_it_is_cut(secret, spell, before, after, cuts) -> None:  # type: ignore[no-untyped-def]  # by hypothesis
    spelled = spell(secret)
    scrubbed = scrub(secret, cut(before + spelled + after, cuts))
    assert spelled not in scrubbed or spelled in REDACTED
    assert REDACTED in scrubbed


@settings(deadline=None)
@given(SECRETS, st.binary(max_size=9), st.binary(max_size=9), CUTS)
def test_base64_of_it_is_found_with_anything_beside_it(
    secret: str, before: bytes, after: bytes, cuts: list[int]
) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        scrubbed = scrub(secret, cut(encode(before + secret.encode() + after), cuts))
        left = b"".join(scrubbed.split(REDACTED))
        # At most the edges are left, which share bits with what stands beside it.
        assert REDACTED in scrubbed
        assert len(left) <= len(encode(before)) + len(encode(after)) + 4


@settings(deadline=None)
@given(st.binary(max_size=200), CUTS)
def test_what_holds_no_secret_passes_unchanged(raw: bytes, cuts: list[int]) -> None:
    assert scrub("never-in-there-4711", cut(raw, cuts)) == raw


@settings(deadline=None, max_examples=50)
@given(SECRETS.filter(lambda secret: "\n" not in secret), st.integers(1, 39), st.binary(max_size=3000), CUTS)
def test_how_much_is_held_back_depends_on_no_secret(secret: str, size: int, before: bytes, cuts: list[int]) -> None:
    beginning = secret.encode()[: min(size, len(secret.encode()) - 1)]
    told = []
    for end in (beginning, bytes(len(beginning))):
        stream = Scrubber([secret]).stream()
        told.append([len(stream.feed(piece)) for piece in cut(before + end, cuts)])
    assert told[0] == told[1]


@settings(deadline=None, max_examples=50)
@given(SECRETS, st.sampled_from(SPELLINGS), st.binary(max_size=2000), st.binary(max_size=2000), CUTS)
def test_pieces_are_scrubbed_as_the_whole_is(secret, spell, before, after, cuts) -> None:  # type: ignore[no-untyped-def]  # by hypothesis
    raw = before + spell(secret) + after
    assert scrub(secret, cut(raw, cuts)) == Scrubber([secret]).clean(raw)


def test_a_line_is_passed_on_once_it_is_whole() -> None:
    stream = Scrubber(["never-in-there-4711"]).stream()
    assert stream.feed(b"data: 1\n\nnever-in") == b"data: 1\n\n"
    assert stream.feed(b"-there-4711 it was\n") == b"[redacted] it was\n"


def test_several_secrets_are_found_and_none_is_fine() -> None:
    scrubber = Scrubber(["first-4711", "second-4712"])
    assert scrubber.clean_text("a first-4711 b second-4712 c") == "a [redacted] b [redacted] c"
    assert Scrubber([]).clean(b"as it is") == b"as it is"
