"""The command behind `benchmarks/codec`."""

from __future__ import annotations

import argparse

from benchmarks import messages


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks/codec", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="rounds of messages (default 31)")
    parser.add_argument("--repeats", type=int, default=40, help="messages a round (default 40)")
    options = parser.parse_args()
    print(messages.table(options.rounds, options.repeats))


if __name__ == "__main__":
    main()
