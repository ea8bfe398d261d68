"""`python -m benchmarks [ROUNDS]`: the timings in the README, each beside its floor."""

from __future__ import annotations

import sys

from benchmarks.speed import measure, table


def main() -> None:
    """Measure and print; the argument is the number of rounds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(table(measure(rounds), rounds))


if __name__ == "__main__":
    main()
