"""Runs the blocks of a page, top to bottom, in one world.

``python``   executed, all in one namespace.  What it prints must be in a ``text`` block right
             after it.  If its first line is a comment that is a file name, it is that file.
``console``  lines that begin with "$ " are commands, run one by one; what stands below one must be
             what it writes (stdout and stderr).  A command must succeed, unless ``$ echo $?`` is
             next.
``text``     right after ``python``, what it prints; elsewhere nothing that is run.
``toml``     must be TOML; ``json`` must be JSON.

In expected output "..." stands for anything in a line, and on a line alone for any lines.
Any other language than these is a mistake of the page.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.docs_runner.network import network
from tests.docs_runner.pages import Block, Note, Page
from tests.docs_runner.world import World, tls_context

#: What a page may call besides the commands of scepkit.
_COMMANDS = frozenset(
    {"cat", "chmod", "cp", "curl", "echo", "install", "ls", "mkdir", "printf", "pytest", "scepkit"}
)
_FILE_NAME = re.compile(r"# (\w[\w.-]*\.\w+)\n")
_SECONDS = 50
_SHORT = 0.01


class PageError(AssertionError):
    """A block does not do what the page says."""


@dataclass
class Runner:
    """A page under way.

    Attributes:
        page: the page.
        world: what is around it.
        programs: a directory with the programs that commands find first.
        namespace: what its Python code has defined.
        printed: what the last Python block printed and no block has shown yet.
        not_run: the reasons of blocks that were not run.
    """

    page: Page
    world: World
    programs: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__docs__"})
    printed: str = ""
    not_run: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run every block.

        :raises PageError: one does something else than the page says.
        """
        skip = ""
        for item in self.page.items:
            if isinstance(item, Block) and item.language == "text" and item.follows:
                self._expect(item, self.printed, item.text)
                self.printed = ""
                continue
            self._nothing_left(item.line)
            match item:
                case Note("not run", words):
                    skip = words
                case Note(_, words, line):
                    self._happens(words, line)
                case Block() if skip:
                    self.not_run.append(skip)
                    skip = ""
                case Block("python"):
                    self._python(item)
                case Block("console"):
                    self._console(item)
                case Block("text"):
                    pass
                case Block("toml" | "json"):
                    self._data(item)
                case Block(language, _, line):
                    raise self._error(line, f"a block of {language or 'no language'} is not run")
        self._nothing_left(0)

    def _error(self, line: int, text: str) -> PageError:
        return PageError(f"{self.page.path.name}:{line}: {text}")

    def _happens(self, words: str, line: int) -> None:
        try:
            self.world.happens(words)
        except KeyError:
            raise self._error(line, f"no such event: {words}") from None

    def _nothing_left(self, line: int) -> None:
        if self.printed:
            raise self._error(line, f"the page does not show what was printed:\n{self.printed}")

    def _expect(self, block: Block, found: str, expected: str) -> None:
        if not matches(expected, self.world.shown(found)):
            raise self._error(
                block.line,
                f"expected:\n{expected}\nfound:\n{self.world.shown(found)}",
            )

    # ------------------------------------------------------------------ Python

    def _python(self, block: Block) -> None:
        source = self.world.filled(block.text)
        if name := _FILE_NAME.match(source):
            (self.world.directory / name[1]).write_text(source)
            return
        start = len(self.world.screen.getvalue())
        # Blank lines first, so that a traceback has the line numbers of the page.
        source = "\n" * (block.line - 1) + source
        try:
            with self._terminal():
                exec(compile(source, str(self.page.path), "exec"), self.namespace)  # noqa: S102
        except Exception as error:
            raise self._error(_line_of(error, self.page.path), repr(error)) from error
        self.printed = self.world.screen.getvalue()[start:]

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[None]:
        before = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr = (
            self.world.keyboard, self.world.screen, self.world.screen
        )  # fmt: skip
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
            self.world.screen.terminal = False

    def _data(self, block: Block) -> None:
        parse = tomllib.loads if block.language == "toml" else json.loads
        try:
            parse(block.text)
        except ValueError as error:
            raise self._error(block.line, f"this is no {block.language}: {error}") from None

    # ------------------------------------------------------------------ commands

    def _console(self, block: Block) -> None:
        last = 0
        steps = list(_steps(block))
        for number, (command, line, expected) in enumerate(steps):
            for word in _programs_in(command):
                if word not in _COMMANDS:
                    raise self._error(line, f"{word} is not one of the commands that are run")
            done = self._shell(self.world.filled(command), last)
            last = done.returncode
            following = steps[number + 1][0] if number + 1 < len(steps) else ""
            if last and following != "echo $?":
                raise self._error(line, f"exit code {last}:\n{self.world.shown(done.stdout)}")
            if expected:
                self._expect(Block("text", expected, line + 1, follows=True), done.stdout, expected)

    def _shell(self, command: str, last: int) -> subprocess.CompletedProcess[str]:
        # The status of the command before, for $?.
        script = f"set -o pipefail; (exit {last}); {command}"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.world.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            # Without a terminal, whoever started the tests.
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SCEPKIT_", "PYTEST_", "COV_", "COVERAGE_"))
        }
        environment["PATH"] = f"{self.programs}{os.pathsep}{environment['PATH']}"
        # Waits are in the pages for people; here nobody has time.
        environment["SCEPKIT_POLL_INTERVAL"] = "0.05"
        return environment


def _line_of(error: Exception, path: Path) -> int:
    """The line of the page at which an error came out of its code."""
    line = getattr(error, "lineno", None) or 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _steps(block: Block) -> Iterator[tuple[str, int, str]]:
    """The commands of a console block: command, line number, expected output."""
    command: list[str] = []
    expected = ""
    line = 0
    more = False
    for number, text in enumerate(block.text.splitlines(), block.line):
        if more:
            command.append(text)
        elif text.startswith("$ "):
            if command:
                yield "\n".join(command), line, expected
            command, expected, line = [text[2:]], "", number
        elif command:
            expected += f"{text}\n"
            continue
        else:
            raise PageError(f"line {number}: a console block begins with a command")
        more = text.endswith("\\")
    if command:
        yield "\n".join(command), line, expected


def _programs_in(command: str) -> list[str]:
    """The programs that a command line calls."""
    parts = re.split(r"\||&&|;", command.replace("\\\n", " "))
    found = []
    for part in parts:
        words = [word for word in part.split() if not re.match(r"[A-Z_]+=", word)]
        found.append(words[0] if words else "")
    return found


def matches(expected: str, found: str) -> bool:
    """Whether output is what was expected, with "..." for anything."""
    pattern = ""
    for line in expected.rstrip("\n").splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pieces = [re.escape(piece) for piece in line.rstrip().split("...")]
            pattern += ".*?".join(pieces) + r"[ \t]*\n"
    text = found.rstrip("\n")
    return re.fullmatch(pattern, f"{text}\n" if text else "") is not None


# ------------------------------------------------------------------ a page in its world


def run_page(page: Page, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run a page.

    :param directory: an empty directory.
    :raises PageError: a block does something else than the page says.
    """
    programs = directory / "programs"
    here = directory / "here"
    programs.mkdir()
    here.mkdir()
    _write_program(programs / "scepkit", "-m scepkit")
    _write_program(programs / "pytest", "-m pytest -p no:randomly -p no:xdist -p no:cacheprovider")
    world = World(here)
    with (
        contextlib.closing(world),
        network(lambda: world.answers, tls_context(here)) as web,
        _quiet_logging(),
    ):
        world.network = web
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("http_proxy", f"http://{web.authority}")
        monkeypatch.setenv("https_proxy", f"http://{web.authority}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.chdir(here)
        monkeypatch.setattr(time, "sleep", _hurry(world))
        runner = Runner(page, world, programs)
        runner.run()
    return runner


def _hurry(world: World) -> Any:
    sleep = time.sleep

    def short(seconds: float) -> None:
        world.waited.append(seconds)
        sleep(min(seconds, _SHORT))

    return short


def _write_program(path: Path, arguments: str) -> None:
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
    path.chmod(0o755)


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Logging as it is in a fresh process, and afterwards as it was."""
    root = logging.getLogger()
    ours = logging.getLogger("scepkit")
    before = root.handlers[:], root.level, ours.handlers[:], ours.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers[:], ours.handlers[:] = before[0], before[2]
        root.setLevel(before[1])
        ours.setLevel(before[3])
