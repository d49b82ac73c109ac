"""Runs a transcript of the command line: what is typed, and what has to come of it.

A transcript is a text file.  Its lines:

    # a comment
    ca NAME=VALUE ...        start a CA; sets $URL and $FINGERPRINT, writes ca.pem
    ca-now NAME=VALUE ...    change the running CA (the words of both: `conversation`)
    $ scepkit WORD ... [<FILE] [>FILE]
                             run the command, in this process, with what stands in FILE on stdin
    $ NAME=VALUE scepkit ... the same with an environment variable
    exit CODE                how it has to end; 0 when this is not the next line
    stdout PATTERN           a regular expression that has to be found; ! in front: that must not be
    stderr PATTERN
    json PATH VALUE          what --json has at PATH (a.b.0.c); VALUE is JSON, or ~ and a pattern
    silent stdout|stderr     nothing there
    exists FILE ...          ! in front: that must not be there
    mode FILE MODE
    pair KEY CERTIFICATE     they belong together
    same FILE FILE           the same bytes; ! in front: different bytes
    keep NAME json PATH      set $NAME from the JSON on stdout
    touch-up FILE PATTERN TEXT    replace in a file
    cp FILE FILE | rm FILE ... | chmod MODE FILE
    join FILE FILE ...       write the first from the others, one after the other
    vector NAME FILE         copy tests/vectors/NAME

and then files, each after a line ``-- name --``.  A line that is none of these fails the test, so
that a typing error cannot pass for a check.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scepkit.cli import main

VECTORS = Path(__file__).parent.parent / "vectors"
_FILE = re.compile(r"^-- (\S+) --$")
_VARIABLE = re.compile(r"\$([A-Z][A-Z0-9_]*)")
_SETTING = re.compile(r"^([A-Z_][A-Z0-9_]*)=(.*)$", re.DOTALL)


@dataclass
class Ran:
    """What the last command did."""

    words: str = ""
    code: int = 0
    code_seen: bool = True
    stdout: bytes = b""
    stderr: str = ""

    def shown(self) -> str:
        """Everything, for the message of a failure."""
        text = self.stdout.decode(errors="backslashreplace")
        return f"$ {self.words}\nexit {self.code}\n[stdout]\n{text}\n[stderr]\n{self.stderr}"


@dataclass
class Transcript:
    """A transcript under way.

    Attributes:
        directory: where it runs.
        start_ca: what ``ca`` lines do; it returns variables.
        change_ca: what ``ca-now`` lines do.
    """

    negatable: ClassVar[frozenset[str]] = frozenset({"stdout", "stderr", "exists", "same"})

    directory: Path
    start_ca: Callable[[dict[str, str]], dict[str, str]]
    change_ca: Callable[[dict[str, str]], None]
    monkeypatch: pytest.MonkeyPatch
    variables: dict[str, str] = field(default_factory=dict)
    last: Ran = field(default_factory=Ran)

    def run(self, text: str) -> None:
        """Run all lines of `text`; the first that fails is an AssertionError with its number."""
        lines = text.splitlines()
        script, files = _split(lines)
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.monkeypatch.chdir(self.directory)
        for number, line in script:
            try:
                self._line(line)
            except AssertionError as error:
                text = f"line {number}: {line}\n{error}\n{self.last.shown()}"
                raise AssertionError(text) from None
        self._check_code()

    def _line(self, line: str) -> None:
        if line.startswith("$ "):
            self._check_code()
            self._command(line[2:])
            return
        wanted = not line.startswith("! ")
        text = self._filled(line.removeprefix("! "))
        verb, *words = text.split(None, 2) if text.startswith("json ") else shlex.split(text)
        if verb != "exit":
            self._check_code()
        act = getattr(self, "_do_" + verb.replace("-", "_"), None)
        assert act is not None, f"no such verb: {verb}"
        if not wanted and verb not in self.negatable:
            raise AssertionError(f"{verb} cannot be negated")
        act(*words) if wanted else act(*words, wanted=False)

    def _filled(self, line: str) -> str:
        def value(match: re.Match[str]) -> str:
            assert match[1] in self.variables, f"nothing sets ${match[1]}"
            return self.variables[match[1]]

        return _VARIABLE.sub(value, line)

    # ------------------------------------------------------------------------------- commands

    def _command(self, line: str) -> None:
        words = shlex.split(self._filled(line))
        settings: dict[str, str] = {}
        while words and (match := _SETTING.match(words[0])):
            settings[match[1]] = match[2]
            words.pop(0)
        assert words.pop(0) == "scepkit", "only scepkit can be run"
        stdin = b""
        stdout_file = ""
        if words and words[-1].startswith(">"):
            stdout_file = words.pop()[1:]
        if words and words[-1].startswith("<"):
            stdin = (self.directory / words.pop()[1:]).read_bytes()
        self.last = run_scepkit(words, self.monkeypatch, stdin=stdin, environment=settings)
        if stdout_file:
            (self.directory / stdout_file).write_bytes(self.last.stdout)

    def _check_code(self) -> None:
        if not self.last.code_seen:
            assert self.last.code == 0, f"exit {self.last.code} was not expected"

    def _do_exit(self, code: str) -> None:
        self.last.code_seen = True
        assert self.last.code == int(code), f"exit {self.last.code}, not {code}"

    # ----------------------------------------------------------------------------------- the CA

    def _do_ca(self, *words: str) -> None:
        self.variables.update(self.start_ca(_settings(words)))

    def _do_ca_now(self, *words: str) -> None:
        self.change_ca(_settings(words))

    # --------------------------------------------------------------------------------- checks

    def _do_stdout(self, pattern: str, wanted: bool = True) -> None:
        _search(pattern, self.last.stdout.decode(errors="backslashreplace"), wanted)

    def _do_stderr(self, pattern: str, wanted: bool = True) -> None:
        _search(pattern, self.last.stderr, wanted)

    def _do_silent(self, name: str) -> None:
        assert not getattr(self.last, name), f"{name} is not empty"

    def _do_json(self, path: str, value: str) -> None:
        found = self._at(path)
        if value.startswith("~ "):
            (pattern,) = shlex.split(value[2:])
            assert re.search(pattern, str(found)), f"{path} is {found!r}"
            return
        try:
            expected = json.loads(value)
        except ValueError:
            (expected,) = shlex.split(value)
        assert found == expected, f"{path} is {found!r}"

    def _do_keep(self, name: str, kind: str, path: str) -> None:
        assert kind == "json"
        self.variables[name] = str(self._at(path))

    def _at(self, path: str) -> Any:
        try:
            found = json.loads(self.last.stdout)
        except ValueError as error:
            raise AssertionError(f"stdout is not one JSON object: {error}") from None
        assert isinstance(found, dict)
        for part in path.split("."):
            try:
                found = found[int(part)] if isinstance(found, list) else found[part]
            except (KeyError, IndexError):
                raise AssertionError(f"nothing at {path}") from None
        return found

    # ----------------------------------------------------------------------------------- files

    def _do_exists(self, *names: str, wanted: bool = True) -> None:
        for name in names:
            assert (self.directory / name).exists() is wanted, f"{name}: not so"

    def _do_mode(self, name: str, mode: str) -> None:
        found = stat.S_IMODE((self.directory / name).stat().st_mode)
        assert found == int(mode, 8), f"{name} is {found:o}"

    def _do_same(self, one: str, other: str, wanted: bool = True) -> None:
        same = (self.directory / one).read_bytes() == (self.directory / other).read_bytes()
        assert same is wanted

    def _do_pair(self, key: str, certificate: str) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        private = load_pem_private_key((self.directory / key).read_bytes(), None)
        loaded = x509.load_pem_x509_certificate((self.directory / certificate).read_bytes())
        assert private.public_key() == loaded.public_key(), "key and certificate do not match"

    def _do_cp(self, one: str, other: str) -> None:
        shutil.copy(self.directory / one, self.directory / other)

    def _do_chmod(self, mode: str, name: str) -> None:
        (self.directory / name).chmod(int(mode, 8))

    def _do_vector(self, name: str, to: str) -> None:
        shutil.copy(VECTORS / name, self.directory / to)

    def _do_join(self, to: str, *names: str) -> None:
        data = b"".join((self.directory / name).read_bytes() for name in names)
        (self.directory / to).write_bytes(data)

    def _do_rm(self, *names: str) -> None:
        for name in names:
            (self.directory / name).unlink()

    def _do_touch_up(self, name: str, pattern: str, text: str) -> None:
        path = self.directory / name
        changed, times = re.subn(pattern, text, path.read_text())
        assert times, f"{pattern} is not in {name}"
        path.write_text(changed)


def run_scepkit(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> Ran:
    """Run the command in this process, without a terminal."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SCEPKIT_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("SCEPKIT_NO_INPUT", "1")
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        patch.setattr("sys.stdout", io.TextIOWrapper(stdout, encoding="utf-8", newline="\n"))
        patch.setattr("sys.stderr", io.TextIOWrapper(stderr, encoding="utf-8", newline="\n"))
        code = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        return Ran(
            words="scepkit " + shlex.join(words),
            code=code,
            code_seen=False,
            stdout=stdout.getvalue(),
            stderr=stderr.getvalue().decode(),
        )


def _split(lines: list[str]) -> tuple[list[tuple[int, str]], dict[str, str]]:
    script: list[tuple[int, str]] = []
    files: dict[str, str] = {}
    name = ""
    for number, line in enumerate(lines, 1):
        if match := _FILE.match(line):
            name = match[1]
            files[name] = ""
        elif name:
            assert not line.startswith("$ scepkit "), f"line {number} is in the file {name}"
            files[name] += line + "\n"
        elif line.strip() and not line.startswith("#"):
            script.append((number, line))
    return script, files


def _settings(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for word in words:
        name, sep, value = word.partition("=")
        found[name] = value if sep else "yes"
    return found


def _search(pattern: str, text: str, wanted: bool) -> None:
    found = re.search(pattern, text, re.MULTILINE) is not None
    assert found is wanted, f"{'found' if found else 'not found'}: {pattern}"
