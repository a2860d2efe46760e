"""`python -m examples.cobol`: translate programs, judge what stands for them, and the 120 programs."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from examples.cobol.corpus import CorpusMissing, Sample, fetch, samples
from examples.cobol.inputs import all_inputs, given_inputs
from examples.cobol.judge import Verdict, cobol_program, java_program, judge
from examples.cobol.running import Here, Input, NotBuilt, Place, Sandboxed, ToolMissing, check_tools, run_on
from examples.cobol.translator.program import RUNTIME, class_name, translate
from examples.cobol.translator.source import Refused

CACHE: Final = Path("~/.cache/signoff/cobol")
_USUAL: Final = 24
"""Inputs that are made of the given ones, if nothing is said."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ToolMissing, CorpusMissing) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.cobol", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    one = verbs.add_parser("translate", help="write the Java of COBOL programs")
    one.add_argument("programs", nargs="+", type=Path, metavar="FILE")
    one.add_argument("--out", type=Path, metavar="DIR", help="where the Java goes; beside each program if not said")
    one.add_argument("--skip-refused", action="store_true", help="end well where programs are refused")
    one.set_defaults(run=_translate)
    two = verbs.add_parser("judge", help="compare Java programs with the COBOL that they stand for")
    two.add_argument("programs", nargs="+", type=Path, metavar="FILE")
    two.add_argument("--java", type=Path, metavar="DIR", help="where the Java is; beside each program if not said")
    two.add_argument("--skip-refused", action="store_true", help="end well where there is no Java of refused programs")
    _add_judging(two)
    two.set_defaults(run=_judge)
    three = verbs.add_parser("corpus", help="fetch GnuCOBOL's 120 programs, translate them and judge that")
    three.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"where they are kept: {CACHE}")
    three.add_argument("--only", default="", metavar="WORD", help="only programs whose title has this word")
    _add_judging(three)
    three.set_defaults(run=_corpus)
    return parser


def _add_judging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--inputs", type=int, default=_USUAL, metavar="N", help=f"inputs made of each, {_USUAL}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the inputs that are made, 0")
    parser.add_argument("--here", action="store_true", help="run in this place, which is a sandbox already")


def _source(program: Path) -> str:
    return program.read_bytes().decode("latin-1")


def _translate(options: argparse.Namespace) -> int:
    done, refused = 0, 0
    for program in options.programs:
        folder = options.out or program.parent
        try:
            java = translate(_source(program), class_name(program))
        except OSError as error:
            raise ToolMissing(f"{program} cannot be read: {error.strerror}") from None
        except Refused as error:
            print(f"{program}: refused ({error})")
            refused += 1
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{class_name(program)}.java").write_text(java, "utf-8")
        (folder / RUNTIME.name).write_bytes(RUNTIME.read_bytes())
        print(f"{program}: {folder / class_name(program)}.java")
        done += 1
    print(f"{done} translated, {refused} refused")
    return 0 if done and (not refused or options.skip_refused) else 1


def _judge(options: argparse.Namespace) -> int:
    check_tools()
    place, start = _place(options), time.monotonic()
    verdicts = list[Verdict]()
    for program in options.programs:
        verdicts.append(_judged(place, program, options))
        print(verdicts[-1], flush=True)
    good = {"equal", "refused"} if options.skip_refused else {"equal"}
    _summarise(verdicts)
    print(f"Ran {sum(one.inputs for one in verdicts)} tests in {time.monotonic() - start:.1f}s")
    fine = all(one.status in good for one in verdicts) and any(one.status == "equal" for one in verdicts)
    return 0 if fine else 1


def _place(options: argparse.Namespace) -> Place:
    return Here() if options.here else Sandboxed()


def _judged(place: Place, program: Path, options: argparse.Namespace) -> Verdict:
    folder, main_class = options.java or program.parent, class_name(program)
    if not program.is_file():
        return Verdict(program=program.name, status="cannot be judged", why=f"there is no {program}")
    if not (folder / f"{main_class}.java").is_file():
        try:
            translate(_source(program), main_class)
        except Refused as error:
            return Verdict(program=program.name, status="refused", why=str(error))
        why = f"there is no {folder / main_class}.java"
        return Verdict(program=program.name, status="cannot be judged", why=why)
    source = program.read_bytes()
    inputs = all_inputs(given_inputs(program, source), count=options.inputs, seed=options.seed)
    return judge(place, program.name, source, java_program(folder, main_class), inputs)


def _corpus(options: argparse.Namespace) -> int:
    check_tools()
    place, start = _place(options), time.monotonic()
    found = [one for one in samples(fetch(options.cache.expanduser())) if options.only.lower() in one.title.lower()]
    verdicts = list[Verdict]()
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        for sample in found:
            verdicts.append(_judged_sample(place, sample, Path(folder, str(sample.number)), options))
            print(verdicts[-1], flush=True)
    _summarise(verdicts)
    print(f"{time.monotonic() - start:.0f} s")
    return 1 if any(one.status == "differs" for one in verdicts) else 0


def _judged_sample(place: Place, sample: Sample, folder: Path, options: argparse.Namespace) -> Verdict:
    """One of the 120: counted only if the original gives here what its own test says."""
    name, main_class = f"{sample.number:03} {sample.title}", f"Sample{sample.number:03}"
    unable = Verdict(program=name, status="cannot be judged", why="the original does not print what its test says")
    try:
        (seen,) = run_on(place, cobol_program(sample.source), [Input(name="none")])
    except NotBuilt:
        return Verdict(program=name, status="cannot be judged", why="the original is not compiled")
    if (seen.stdout, seen.exit_code) != (sample.stdout, sample.exit_code):
        return unable
    try:
        java = translate(sample.source.decode("latin-1"), main_class)
    except Refused as error:
        return Verdict(program=name, status="refused", why=str(error))
    folder.mkdir()
    (folder / f"{main_class}.java").write_text(java, "utf-8")
    (folder / RUNTIME.name).write_bytes(RUNTIME.read_bytes())
    inputs = all_inputs(given_inputs(folder / "prog.cob", sample.source), count=options.inputs, seed=options.seed)
    return judge(place, name, sample.source, java_program(folder, main_class), inputs)


def _summarise(verdicts: Sequence[Verdict]) -> None:
    counts = Counter(one.status for one in verdicts)
    print(", ".join(f"{counts[status]} {status}" for status in sorted(counts)))
    for construct, count in _reasons(verdicts):
        print(f"  {count} refused for {construct}")


def _reasons(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, int]]:
    """What is refused, the most frequent first."""
    named = Counter(one.why.partition(": ")[2] for one in verdicts if one.status == "refused")
    yield from named.most_common(10)


if __name__ == "__main__":
    sys.exit(main())
