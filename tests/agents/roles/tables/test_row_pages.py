"""Which documents are about whom, and who is meant by which name."""

from pathlib import Path

import pytest

from signoff.agents import Libraries, Shelf, distinct
from signoff.errors import SettingsError
from signoff.settings import Settings
from signoff.tools.search import Sources

DOCUMENTS = {
    "otter.md": "# Otter - the engine\n\nOtter is quick.",
    "otter-pricing.md": "# What it costs\n\nPrice: $20.",
    "seal/about.txt": "Founded: 2019\n\nA firm by the sea.",
    "otter-rest.txt": "Name: otter-rest\n\nAn extension by others.",
    "tern_client.txt": "Name: tern-client\nLicense: MIT",
    "all.csv": "Company,Price\nOtter,$20\nAuk,$9\nKnot,$1",
    "harbour.md": "# The harbour\n\nShips longer than 80 metres must take a pilot.",
}


@pytest.fixture
def shelf(home: Path) -> Shelf:
    for name, content in DOCUMENTS.items():
        (home / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "docs" / name).write_text(content)
    sources = Sources.open("docs")
    sources.refresh()
    return Shelf.of(sources)


@pytest.mark.parametrize(
    ("name", "own", "shared"),
    [
        ("Otter", {"otter.md", "otter-pricing.md"}, {"all.csv"}),  # and not otter-rest, which names itself
        ("OTTER Inc.", {"otter.md", "otter-pricing.md"}, {"all.csv"}),
        ("Seal", {"seal/about.txt"}, set()),
        ("otter-rest", {"otter-rest.txt"}, set()),
        ("tern", {"tern_client.txt"}, set()),
        ("Auk", set(), {"all.csv"}),
        ("Walrus", set(), set()),
    ],
)
def test_a_document_is_about_whom_it_names(shelf: Shelf, name: str, own: set[str], shared: set[str]) -> None:
    ((found, several),) = shelf.about([name]).values()
    assert (set(found), set(several)) == (own, shared)


def test_a_document_is_about_the_longest_name_that_fits(shelf: Shelf) -> None:
    found = shelf.about(["otter", "otter-pricing"])
    assert found["otter"][0] == ("otter.md",)
    assert found["otter-pricing"][0] == ("otter-pricing.md",)


def test_whom_the_documents_are_about_can_be_proposed(shelf: Shelf) -> None:
    assert {"Otter", "otter-rest", "tern-client", "Auk", "Knot"} <= set(shelf.names())


def test_a_name_that_is_given_twice_is_told() -> None:
    names, again = distinct(["Otter", "otter Ltd.", "faiss-cpu", "faiss_cpu", "Otter", " ", "Seal"])
    assert names == ("Otter", "faiss-cpu", "Seal")
    assert again == ("otter Ltd. is Otter", "faiss_cpu is faiss-cpu", "Otter, twice")


def test_documents_are_opened_once_for_each_folder_and_a_run_without_any_is_told(home: Path) -> None:
    (home / "a").mkdir()
    libraries = Libraries(Settings(), None)
    assert libraries.of("a") is libraries.of("a")
    with pytest.raises(SettingsError, match="--sources: is not set"):
        libraries.of("")
    with pytest.raises(SettingsError, match="the web is closed"):
        libraries.of("a", on_web=True)
