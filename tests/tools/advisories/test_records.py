"""Records in OSV's format: whom they affect, by two pieces of code that have to agree, and what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crates import record, write_records
from hypothesis import given, settings, strategies as st

from signoff.errors import AdvisoriesUnusable
from signoff.tools.advisories import AdvisorySet, ask, serving
from signoff.tools.advisories.osv_server import answer
from signoff.tools.advisories.severity import base_score, in_words

REAL = Path(__file__).parents[2] / "graphs" / "teams" / "remediation" / "advisories"
VERSIONS = ["0.9", "1.0.dev1", "1.0a1", "1.0", "1.0.post1", "1.1", "1.10", "2.0rc1", "2.0", "3!1.0"]


def found(advisories: AdvisorySet, version: str) -> list[str]:
    return [one.id for one in advisories.find("knot", version)]


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([{"introduced": "0"}, {"fixed": "1.1"}], ["0.9", "1.0.dev1", "1.0a1", "1.0", "1.0.post1"]),
        ([{"fixed": "1.1"}, {"introduced": "1.0"}], ["1.0", "1.0.post1"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.1"}], ["1.0", "1.0.post1", "1.1"]),
        ([{"introduced": "1.10"}], ["1.10", "2.0rc1", "2.0", "3!1.0"]),
        ([{"introduced": "0"}, {"limit": "1.0"}], ["0.9", "1.0.dev1", "1.0a1"]),
        (
            [{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.1"}, {"fixed": "2.0"}],
            ["0.9", "1.0.dev1", "1.0a1", "1.1", "1.10", "2.0rc1"],
        ),
    ],
)
def test_a_range_affects_the_versions_between_its_events(events: list[dict[str, str]], affected: list[str]) -> None:
    advisories = AdvisorySet.made_of([record("PYSEC-1", "knot", *events)])
    assert [version for version in VERSIONS if found(advisories, version)] == affected


EVENTS = st.lists(
    st.tuples(st.sampled_from(["introduced", "fixed", "last_affected"]), st.sampled_from(["0", *VERSIONS])), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.lists(st.sampled_from(VERSIONS), max_size=2))
def test_the_server_decides_as_the_matcher_does(events: list[tuple[str, str]], listed: list[str]) -> None:
    """Where each interval is closed once, as databases write them: what overlaps is read by each in its own way."""
    ordered = list[dict[str, str]]()
    last = ""
    for kind, version in sorted(events, key=lambda one: VERSIONS.index(one[1]) if one[1] in VERSIONS else -1):
        is_start = kind == "introduced"
        if is_start != (last == "introduced") and not any(version in one.values() for one in ordered):
            ordered.append({kind: version})
            last = kind
    made = record("PYSEC-1", "knot", *ordered, versions=listed)
    advisories = AdvisorySet.made_of([made])
    for version in VERSIONS:
        query = {"package": {"ecosystem": "PyPI", "name": "Knot"}, "version": version}
        _, told = answer([made], "/v1/query", query)
        assert bool(found(advisories, version)) == bool(told), (ordered, listed, version)


def test_versions_that_are_listed_are_affected_however_they_are_written() -> None:
    advisories = AdvisorySet.made_of([record("PYSEC-1", "knot", versions=["1.0", "2004d"])])
    assert [found(advisories, version) for version in ("1.0.0", "2004d", "1.1")] == [["PYSEC-1"], ["PYSEC-1"], []]


def test_aliases_of_aliases_are_one_finding_and_a_withdrawn_record_joins_nothing() -> None:
    records = [
        record("GHSA-1", "knot", {"introduced": "0"}, aliases=["CVE-1"]),
        record("PYSEC-2", "knot", {"introduced": "0"}, aliases=["CVE-2"]),
        record("OSV-3", "sail", {"introduced": "0"}, aliases=["CVE-1", "CVE-2"]),
    ]
    (one,) = AdvisorySet.made_of(records).find("knot", "1.0")
    assert one.ids == ("PYSEC-2", "GHSA-1", "CVE-1", "CVE-2", "OSV-3")
    records[2] = {**records[2], "withdrawn": "2024-01-01T00:00:00Z"}
    assert len(AdvisorySet.made_of(records).find("knot", "1.0")) == 2


def test_the_digest_is_of_the_records_and_not_of_their_files(tmp_path: Path) -> None:
    records = [record("PYSEC-1", "knot", {"introduced": "0"}), record("PYSEC-2", "sail", {"introduced": "0"})]
    first = AdvisorySet.read(write_records(tmp_path / "one", records))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "all.json").write_text(json.dumps(records[::-1]))
    assert first.digest == AdvisorySet.read(tmp_path / "two").digest
    (tmp_path / "one" / "PYSEC-3.json").write_text(json.dumps(record("PYSEC-3", "knot")))
    assert first.digest != AdvisorySet.read(tmp_path / "one").digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ('{"affected": []}', "id: Field required"),
        ('{"id": "X", "affected": "knot"}', "affected"),
        ('"X"', "holds no record"),
    ],
)
def test_one_record_that_cannot_be_read_makes_the_set_unusable(tmp_path: Path, text: str, told: str) -> None:
    write_records(tmp_path)
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(AdvisoriesUnusable, match=told) as raised:
        AdvisorySet.read(tmp_path)
    assert "bad.json" in str(raised.value)


def test_a_folder_without_records_and_two_that_differ_are_refused(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "else"}')
    with pytest.raises(AdvisoriesUnusable, match="no record"):
        AdvisorySet.read(tmp_path)
    with pytest.raises(AdvisoriesUnusable, match="two records of this id"):
        AdvisorySet.made_of([record("PYSEC-1", "knot"), record("PYSEC-1", "sail")])


def test_real_records_in_yaml_are_read_with_their_dates_as_text() -> None:
    advisories = AdvisorySet.read(REAL)
    assert {one.id: one.fixed for one in advisories.find("Werkzeug", "2.2.2")} == {
        "PYSEC-2023-221": ("2.3.8", "3.0.1"),
        "PYSEC-2023-57": ("2.2.3",),
        "PYSEC-2023-58": ("2.2.3",),
    }
    assert advisories.find("oauthlib", "3.2.1") == ()


def test_a_set_is_asked_of_a_server_over_a_socket_and_knows_what_it_was_asked_about() -> None:
    kept = AdvisorySet.read(REAL)
    with serving(kept) as address:
        asked = ask(address, ["Werkzeug", "sail"])
    assert asked.find("werkzeug", "2.2.2") == kept.find("werkzeug", "2.2.2")
    assert (asked.covers("sail"), asked.covers("flask"), kept.covers("flask")) == (True, False, True)
    with pytest.raises(AdvisoriesUnusable, match="does not tell of 'sail'"):
        ask(address, ["sail"])  # nobody listens there any more


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N", 2.5),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N", None),
        ("CVSS:3.1/AV:X", None),
    ],
)
def test_the_score_of_a_vector_is_what_the_standard_computes(vector: str, score: Any) -> None:
    assert base_score(vector) == score
    assert in_words(9.8) == "critical (9.8)"
