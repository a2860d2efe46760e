"""What an answer from documents is worth: whether the passage that answers is shown, first, in three, in eight.

    python3 make.py bench -- worth [--part answers] [--corpus rules] [--embeddings] [--kept] [--misses]
                                   [--keep FOLDER] [--markdown]

The documents are those of real packages (asking/corpora.toml), fetched once into a cache. The questions are of the
kind that people ask, in other words than the text has where that is natural; each has one right passage, several or
none. A passage counts where it stands word for word. Compared are plain BM25, the search beneath and the report as
its reader gets it.

Then editions that contradict each other and orders that nobody sees are planted in the documents, and sentences, true
and false, are put over real quotes before the reviewer's code. What each part found is a table.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from asking.bm25 import read_plainly
from asking.corpora import Unavailable, corpora
from asking.plants import ORDER, Found, Hidden, contradictions, orders, plant
from asking.scoring import FRESH, KEPT, OPEN, Question, Scored, Shown, figures, holds, read_questions, score
from asking.sentences import judge, quotes
from asking.ways import Bm25, Opened, Report, Search, cpu
from rich.console import Console
from rich.table import Table

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "signoff-benchmarks")
WAYS: dict[str, Opened] = {"BM25": Bm25, "search": Search, "report": Report}
BY_MEANING: dict[str, Opened] = {
    "search, MiniLM": partial(Search, embeddings=True),
    "report, MiniLM": partial(Report, embeddings=True),
}


def check(questions: list[Question], documents: Path) -> None:
    """End if an answer is in no document: the question is wrong, not what is measured."""
    texts = [read_plainly(file) for file in documents.rglob("*") if file.is_file()]
    wrong = [
        f"{question.ask}: {passages[0]!r}"
        for question in questions
        for passages in question.parts
        if not any(holds(text, passages) for text in texts)
    ]
    if wrong:
        sys.exit("No document holds the answer to\n  " + "\n  ".join(wrong))


def measure(name: str, opened: Opened, documents: Path, questions: list[Question]) -> tuple[list[Scored], float]:
    """The questions as this way answers them, and the CPU seconds that it takes to get ready."""
    with tempfile.TemporaryDirectory() as home:
        began = cpu()
        way = opened(documents, Path(home))
        ready = cpu() - began
        scored = []
        for place, question in enumerate(questions, 1):
            if sys.stderr.isatty():
                print(f"\r{name}: {place} of {len(questions)} ", end="", file=sys.stderr, flush=True)
            scored.append(score(question, way.ask(question.ask)))
        if sys.stderr.isatty():
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
        way.close()
    return scored, ready


def print_table(title: str, columns: dict[str, dict[str, str]], markdown: bool) -> None:
    rows = list(next(iter(columns.values())))
    if markdown:
        print(f"\n{title}\n\n| | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
        for row in rows:
            print(f"| {row} | {' | '.join(values[row] for values in columns.values())} |")
        return
    table = Table(title=title)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row, *(values[row] for values in columns.values()))
    Console(width=120).print(table)


def print_misses(results: dict[str, list[Scored]]) -> None:
    """Each question that some way does not answer first, and at which place each way has it."""
    for of_ways in zip(*results.values(), strict=True):
        question = of_ways[0].question
        places = ", ".join(
            f"{name} {'+'.join('–' if place is None else str(place) for place in each.places)}"
            + (" marked" if each.shown.marked else "")
            for name, each in zip(results, of_ways, strict=True)
        )
        print(f"{question.corpus}: {question.ask}\n    {places.strip(', ')}")


def keep(folder: Path, results: dict[str, list[Scored]]) -> None:
    """Write what each way showed into files, to be read."""
    for name, scored in results.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(scored, 1):
            told = {
                "ask": each.question.ask,
                "parts": each.question.parts,
                "places": each.places,
                "marked": each.shown.marked,
                "blocks": each.shown.blocks,
                "everything": each.shown.everything,
            }
            file = folder / name / f"{number:03}-{each.question.corpus}.json"
            file.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def find_answers(given: argparse.Namespace, documents: dict[str, Path]) -> None:
    """The passages that answer, and where they are shown."""
    ask_all(given, documents, "answers", [OPEN, *([KEPT] if given.kept else [])])


def find_fresh_answers(given: argparse.Namespace, documents: dict[str, Path]) -> None:
    """The same for questions about other documents, half of them in other words than these have."""
    if not given.questions:
        ask_all(given, documents, "answers from other documents", [FRESH])


def ask_all(given: argparse.Namespace, documents: dict[str, Path], title: str, files: Sequence[Path]) -> None:
    """Ask each way the questions of these files, and print what came of it."""
    questions = [question for file in files for question in read_questions(given.questions or file)]
    ways = {**WAYS, **(BY_MEANING if given.embeddings else {})}
    results: dict[str, list[Scored]] = {name: [] for name in ways}
    ready = dict.fromkeys(ways, 0.0)
    for corpus, folder in documents.items():
        asked = [question for question in questions if question.corpus == corpus]
        check(asked, folder)
        for name, opened in ways.items() if asked else ():
            scored, spent = measure(f"{corpus}, {name}", opened, folder, asked)
            results[name] += scored
            ready[name] += spent
    columns = {
        name: {**figures(scored), "CPU s to get ready": f"{ready[name]:.1f}"}
        for name, scored in results.items()
        if scored
    }
    count = len(next(iter(results.values())))
    if count:
        print_table(f"signoff {version('signoff')}: {title}, {count} questions", columns, given.markdown)
    if given.misses:
        print_misses(results)
    if given.keep:
        keep(given.keep, results)


def find_plants(given: argparse.Namespace, documents: dict[str, Path]) -> None:
    """What is shown and said where editions contradict each other, and where orders stand that nobody sees."""
    found: dict[str, list[Found]] = {name: [] for name in WAYS}
    hidden: list[tuple[Hidden, Shown]] = []
    for corpus, folder in documents.items():
        apart = [one for one in contradictions() if one.corpus == corpus]
        unseen = [one for one in orders() if one.corpus == corpus]
        # Beside the corpus: its files are linked, not copied.
        with tempfile.TemporaryDirectory(dir=folder.parent) as home:
            planted = Path(home, "documents")
            plant(folder, [*apart, *unseen], planted)
            for name, opened in WAYS.items() if apart or unseen else ():
                way = opened(planted, Path(home))
                found[name] += [Found(one, way.ask(one.ask)) for one in apart]
                hidden += [(one, way.ask(one.ask)) for one in unseen if name == "report"]
                way.close()
    count = len(found["report"])
    if count:
        kinds = dict.fromkeys(each.contradiction.kind for each in found["report"])
        rows = {kind: [kind] for kind in kinds} | {"all": list(kinds)}
        columns = {
            **{f"{name}: both shown": _counted(each, rows, lambda one: one.both) for name, each in found.items()},
            "report: said": _counted(found["report"], rows, lambda one: one.said),
        }
        print_table(f"signoff {version('signoff')}: {count} contradictions", columns, given.markdown)
    if hidden:
        shows = {one.how: ORDER in " ".join(shown.everything.split()) for one, shown in hidden}
        flagged = {one.how: bool(shown.flags) for one, shown in hidden}
        told = {"shown": shows, "flagged": flagged}
        columns = {name: {how: "yes" if is_so else "no" for how, is_so in each.items()} for name, each in told.items()}
        print_table(f"signoff {version('signoff')}: {len(hidden)} orders that nobody sees", columns, given.markdown)
    if given.misses:
        for one in found["report"]:
            print(f"{one.contradiction.kind}: both {one.both}, said {one.said}: {one.contradiction.ask}")
            print("".join(f"    {line}\n" for line in one.shown.disagreements), end="")
        print("".join(f"{one.how}: {shown.flags}\n" for one, shown in hidden), end="")


def _counted(
    found: Sequence[Found], rows: Mapping[str, Collection[str]], is_so: Callable[[Found], bool]
) -> dict[str, str]:
    of_kinds = {row: [one for one in found if one.contradiction.kind in kinds] for row, kinds in rows.items()}
    return {row: f"{sum(map(is_so, each))} of {len(each)}" for row, each in of_kinds.items()}


def prove_sentences(given: argparse.Namespace, documents: dict[str, Path]) -> None:
    """Which sentences over real quotes the reviewer's code accepts and rejects."""
    of = {name: [entry["quote"] for entry in quotes() if entry["corpus"] == name] for name in documents}
    for corpus, folder in documents.items():
        check([Question(corpus, quote, ((quote,),)) for quote in of[corpus]], folder)
    with tempfile.TemporaryDirectory() as home:
        judged = [one for one in judge(Path(home)) if any(one.quote in told for told in of.values())]
    kinds = dict.fromkeys(one.kind for one in judged)
    counted = {kind: [one for one in judged if one.kind == kind] for kind in kinds}
    column = {
        f"{kind}: {'accepted' if kind == 'true' else 'rejected'}": f"{sum(one.right for one in each)} of {len(each)}"
        for kind, each in counted.items()
    }
    false = [one for one in judged if one.kind != "true"]
    column["all that is wrong: rejected"] = f"{sum(one.right for one in false)} of {len(false)}"
    title = f"signoff {version('signoff')}: sentences over {len({one.quote for one in judged})} quotes"
    print_table(title, {"the reviewer's code": column}, given.markdown)
    if given.misses:
        for one in judged:
            if not one.right:
                print(
                    f"{one.kind}, {'accepted' if one.accepted else 'rejected'}: {one.sentence}\n    over: {one.quote}"
                )
                print(f"    {one.why}\n" if one.why else "", end="")


PARTS: dict[str, Callable[[argparse.Namespace, dict[str, Path]], None]] = {
    "answers": find_answers,
    "fresh": find_fresh_answers,
    "plants": find_plants,
    "sentences": prove_sentences,
}


def main(given: argparse.Namespace) -> None:
    if given.kept and not KEPT.is_file():
        sys.exit(
            f"The questions that are kept apart are not here: {KEPT} comes with the last of the work on the search."
        )
    documents: dict[str, Path] = {}
    for corpus in corpora().values():
        if given.corpus in ("", corpus.name):
            try:
                documents[corpus.name] = corpus.build(given.cache)
            except Unavailable as error:
                print(f"Left out: {corpus.name}. {error}", file=sys.stderr)
    if not documents:
        sys.exit("No documents could be had, so nothing was measured.")
    for name, part in PARTS.items():
        if given.part in ("", name):
            part(given, documents)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="", choices=["", *PARTS], help="only this one")
    parser.add_argument("--corpus", default="", choices=["", *corpora()], help="only this one")
    parser.add_argument("--embeddings", action="store_true", help="measure the ways by meaning too")
    parser.add_argument("--kept", action="store_true", help="ask the questions that were kept apart, too")
    parser.add_argument("--misses", action="store_true", help="list at which place each answer is shown")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write what was shown into this folder")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where packages and documents are kept")
    parser.add_argument("--questions", type=Path, metavar="FILE", help="ask those of this file instead")
    return parser


if __name__ == "__main__":
    main(options().parse_args())
