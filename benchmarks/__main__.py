"""The command behind `benchmarks/codec`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import commands, machine, messages, page, processes


def main() -> None:
    """Print how much our code adds to a message's cryptography, and how long commands take."""
    parser = argparse.ArgumentParser(prog="benchmarks/codec", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="rounds of messages (default 31)")
    parser.add_argument("--repeats", type=int, default=40, help="messages a round (default 40)")
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default 15)")
    parser.add_argument("--only", choices=["messages", "commands"], help="one of the two tables")
    parser.add_argument("--markdown", type=Path, help="a page whose tables are written anew")
    options = parser.parse_args()
    tables = []
    if options.only != "commands":
        tables.append(messages.table(options.rounds, options.repeats))
    if options.only != "messages":
        tables.append(of_commands(options.runs))
    print("\n\n".join(tables))
    if options.markdown:
        told = [machine.described(), "```text\n" + "\n\n".join(tables) + "\n```"]
        page.write(options.markdown, "codec", "\n\n".join(told))


def of_commands(runs: int) -> str:
    """The second table."""
    with tempfile.TemporaryDirectory() as name:
        samples = commands.run(Path(name), runs)
    title = f"Commands (medians of {runs} runs; goal: enrol at most 2.00)"
    return processes.table(samples, commands.X509, title)


if __name__ == "__main__":
    main()
