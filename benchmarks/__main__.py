"""The command behind `benchmarks/codec`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import commands, messages, processes


def main() -> None:
    """Print how much our code adds to a message's cryptography, and how long commands take."""
    parser = argparse.ArgumentParser(prog="benchmarks/codec", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="rounds of messages (default 31)")
    parser.add_argument("--repeats", type=int, default=40, help="messages a round (default 40)")
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default 15)")
    parser.add_argument("--only", choices=["messages", "commands"], help="one of the two tables")
    options = parser.parse_args()
    if options.only != "commands":
        print(messages.table(options.rounds, options.repeats))
    if options.only is None:
        print()
    if options.only != "messages":
        print_commands(options.runs)


def print_commands(runs: int) -> None:
    """The second table."""
    with tempfile.TemporaryDirectory() as name:
        samples = commands.run(Path(name), runs)
    title = f"Commands (medians of {runs} runs; goal: enrol at most 2.00)"
    print(processes.table(samples, commands.X509, title))


if __name__ == "__main__":
    main()
