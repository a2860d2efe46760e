"""Which lines of a text match: a program of its own, because Python cannot stop a pattern that runs for ever.

Started by path with the pattern as arguments and the text on stdin; prints the numbers of the lines, one a line.
"""

from __future__ import annotations

import re
import sys


def main() -> int:
    """Print the numbers of the lines that match; 2 and the reason if the pattern is none."""
    _, pattern, ignore_case, most = sys.argv
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case == "1" else 0)
    except (re.error, RecursionError, OverflowError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    left = int(most)
    for number, line in enumerate(sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\n"), 1):
        if left and compiled.search(line):
            sys.stdout.write(f"{number}\n")
            left -= 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
