"""Opening a store by its URL, and how moments are stored."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.errors import InputError, StoreError
from scepkit.store import Store, migrations, open_store, sqlite
from scepkit.store.rows import milliseconds, moment
from scepkit.store.searching import containing, folded
from scepkit.store.sqlite import SqliteDriver
from tests.store.enrolling import a_ca, a_certificate


def path_of(url: str, relative_to: Path | None = None) -> Path:
    with open_store(url, relative_to=relative_to) as store:
        driver = store.driver
        assert isinstance(driver, SqliteDriver)
        return driver.path


def test_relative_file_is_relative_to_the_settings(tmp_path: Path) -> None:
    assert path_of("sqlite:///scepkit.db", tmp_path) == tmp_path / "scepkit.db"
    assert path_of("sqlite:///a/b%20c.db", tmp_path) == tmp_path / "a" / "b c.db"
    assert path_of("sqlite:///scepkit.db") == Path("scepkit.db")


def test_absolute_file_is_absolute(tmp_path: Path) -> None:
    assert path_of("sqlite:////var/lib/scepkit.db", tmp_path) == Path("/var/lib/scepkit.db")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "scepkit.db",
        "mysql://host/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/file.db",
        "sqlite:///file.db?mode=ro",
        "sqlite:///file.db#part",
    ],
)
def test_other_urls_are_input_errors(url: str) -> None:
    with pytest.raises(InputError, match=r"sqlite:///"):
        open_store(url)


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_store("sqlite:///scepkit.db", relative_to=tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_postgresql_without_its_driver_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from scepkit.store import open_store\n"
        "from scepkit.errors import StoreError\n"
        "try: open_store('postgresql://host/db')\n"
        "except StoreError as problem: print(problem, problem.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"psycopg" in done.stdout
    assert b"scepkit[postgres]" in done.stdout


def test_sqlite_store_does_not_load_psycopg() -> None:
    script = (
        "import sys; from scepkit.store import open_store; open_store('sqlite:///x.db').close();"
        "print(*({'psycopg', 'cryptography', 'scepkit.core'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == []


def test_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "OLDEST", (99, 0, 0))
    with pytest.raises(StoreError, match=r"needs 99\.0\.0 or newer"):
        open_store("sqlite:///x.db")


def test_store_answers(store: Store) -> None:
    store.check_schema()
    assert store.migrate() == []
    assert len(migrations.known()) >= 1


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_come_back_to_the_millisecond(value: datetime) -> None:
    back = moment(milliseconds(value))
    assert timedelta(0) <= value - back < timedelta(milliseconds=1)
    assert milliseconds(back) == milliseconds(value)


def test_moments_are_utc() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert moment(milliseconds(noon)) == datetime(2026, 6, 1, 10, tzinfo=UTC)
    assert milliseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000


def test_texts_are_folded_as_the_databases_do(store: Store) -> None:
    text = "AbZ[`{ÀÉ東İſ"
    a_certificate(store, a_ca(store), "1f", subject=text)
    assert store.read(lambda tx: tx.one("SELECT lower(subject) FROM certificate")) == (
        folded(text),
    )


def test_pattern_means_itself() -> None:
    assert containing("50%_OFF!") == "%50!%!_off!!%"
