"""Values: one way to write them, and what says the same."""

import pytest

from signoff.agents.artifacts import Kind, alike, is_of_kind, normal


@pytest.mark.parametrize(
    ("written", "kind", "value"),
    [
        ("License :: OSI Approved :: MIT License", "licence", "MIT"),
        ("The MIT License (MIT)", "licence", "MIT"),
        ("Apache License, Version 2.0", "licence", "Apache-2.0"),
        ("Apache Software License", "licence", "Apache"),
        ("BSD 3-clause", "licence", "BSD-3-Clause"),
        ("GNU General Public License v3 (GPLv3)", "licence", "GPL-3.0"),
        ("Quay Licence", "licence", "Quay Licence"),
        (">=3.10", "version", "≥ 3.10"),
        ("3.10+", "version", "≥ 3.10"),
        ("3.9 and higher", "version", "≥ 3.9"),
        ("<4.0,>=3.8", "version", "< 4.0, ≥ 3.8"),
        ("v1.2.3 (2024-05-01)", "version", "1.2.3"),
        ("3.8 to 3.12", "version", "≥ 3.8, ≤ 3.12"),
        ("May 4, 2019", "date", "2019-05-04"),
        ("2019", "date", "2019"),
        ("see https://otter.example/docs.", "link", "https://otter.example/docs"),
        ("as\n  it is", "text", "as it is"),
    ],
)
def test_a_value_is_written_as_all_of_its_kind(written: str, kind: Kind, value: str) -> None:
    assert normal(written, kind) == value


@pytest.mark.parametrize(
    ("one", "other", "kind", "same"),
    [
        ("BSD", "BSD-3-Clause", "licence", True),
        ("BSD-2-Clause", "BSD-3-Clause", "licence", False),
        ("MIT", "MIT-0", "licence", False),
        ("≥ 3.9", "≥ 3.9, < 4", "version", True),
        ("≥ 3.10", "≥ 3.1", "version", False),
        ("3.10.0", "3.10", "version", True),
        ("$25 per month", "25 USD / month", "number", True),
        ("$25 per month", "$25 per year", "number", False),
        ("10 million", "10,000,000", "number", True),
        ("2019", "2019-05", "date", True),
        ("2019-06", "2019-05", "date", False),
        ("Berlin", "Berlin, Germany", "text", True),
        ("supported", "not supported", "text", False),
        ("10 people", "110 people", "text", False),
        ("http://otter.example/", "https://www.otter.example", "link", True),
    ],
)
def test_what_says_the_same_is_told_from_what_differs(one: str, other: str, kind: Kind, same: bool) -> None:
    assert alike(one, other, kind) is alike(other, one, kind) is same


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Copyright 2010 Quay", "licence"), ("see the changelog", "version"), ("on request", "number"), ("soon", "date")],
)
def test_what_is_no_value_of_a_kind_is_none(text: str, kind: Kind) -> None:
    assert not is_of_kind(text, kind)
