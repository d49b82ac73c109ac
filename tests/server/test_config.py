"""Settings from TOML: every form, every error with its path, no secret anywhere."""

from __future__ import annotations

import contextlib
import os
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit import config
from scepkit.config import Address, Rate, Secret, setting
from scepkit.errors import ConfigError, ConfigErrors, InputError

# ------------------------------------------------------------------ forms


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("30d", 30 * 86400),
        ("2w", 14 * 86400),
        ("250ms", 0.25),
        (" 1h ", 3600),
        ("0s", 0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert config.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "5", "5x", "-5s", "1.5h", "s", "1h 30m", "٣s", "1y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="duration"):
        config.parse_duration(text)


def test_a_number_without_a_unit_gets_a_hint() -> None:
    with pytest.raises(InputError) as caught:
        config.parse_duration("5")
    assert "5s is seconds" in caught.value.hint


@pytest.mark.parametrize("text", ["999999999d", "400000d", "999999999w999999999w"])
def test_a_duration_beyond_reason_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="long"):
        config.parse_duration(text)


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=300_000)))
def test_a_duration_survives_being_written(value: timedelta) -> None:
    value -= timedelta(microseconds=value.microseconds % 1000)
    assert config.parse_duration(config.format_duration(value)) == value


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65536), ("1 MiB", 1 << 20), ("7", 7)])
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert config.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64K", "64kb", "-1", "1.5MiB", "KiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="size"):
        config.parse_size(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("10/s", Rate(10, 1)), ("600 / m", Rate(600, 60)), ("1/h", Rate(1, 3600))]
)
def test_a_rate_is_so_many_in_a_time(text: str, rate: Rate) -> None:
    assert config.parse_rate(text) == rate
    assert config.parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "10", "10/d", "0/s", "-1/s", "/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        config.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:80", Address("::1", 80)),
        ("localhost:0", Address("localhost", 0)),
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
    ],
)
def test_an_address_says_where_to_listen(text: str, address: Address) -> None:
    assert config.parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "8080", ":8080", "a:b", "a:65536", "::1:80", "[]:1", "a b:1", "a:٣", "[a]b:1"),
        *("[a]:1", "unix:", "unix:/" + "x" * 107, "unix:run/x.sock"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        config.parse_address(text)


def test_a_network_with_bits_after_its_prefix_gets_a_suggestion() -> None:
    assert config.parse_network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    assert config.parse_network("::1") == ip_network("::1/128")
    with pytest.raises(InputError, match=r"did you mean 10\.0\.0\.0/8"):
        config.parse_network("10.1.2.3/8")
    with pytest.raises(InputError, match="network"):
        config.parse_network("everybody")


@given(st.text())
def test_no_text_is_more_than_an_input_error(text: str) -> None:
    for parse in (
        config.parse_duration,
        config.parse_size,
        config.parse_rate,
        config.parse_address,
        config.parse_network,
    ):
        with contextlib.suppress(InputError):
            parse(text)


# ------------------------------------------------------------------ a schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    PRESETS: ClassVar = {"night": {"watts": 5, "shade": {"colour": "red"}}}

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Shade:
        colour: Literal["red", "green"] = setting("", default="green")
        warm: bool = setting("", default=False)

    preset: str = setting("", default="generic")
    watts: int = setting("", default=60, minimum=1, maximum=100)
    shade: Shade = setting("", default={})

    def __post_init__(self) -> None:
        if self.watts > 90 and self.shade.warm:
            raise ConfigError("expected less for a warm shade", path="watts")


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    street: str = setting("")
    age: timedelta = setting("", default="1d", minimum=timedelta(hours=1))
    weight: int = setting("", default="1KiB", parse=config.parse_size)
    cellar: Path | None = setting("", default=None)
    rooms: tuple[str, ...] = setting("", default=())
    networks: frozenset[Any] = setting("", default=(), parse=config.parse_network)
    spare: tuple[Lamp.Shade, ...] = setting("", default=())
    lamp: dict[str, Lamp] = setting("", default={})
    door: Secret | None = setting("", credential="door-code", variable="DOOR_CODE")
    best: Lamp | None = setting("", default=None)
    grades: dict[str, int] = setting(
        "", default={}, parse=config.parse_size, parse_key=lambda text: text.upper()
    )


def read(text: str, directory: Path = Path("/house"), **environ: str) -> House:
    return config.read(tomllib.loads(text), House, directory=directory, environ=environ)


def errors(text: str, directory: Path = Path("/house"), **environ: str) -> dict[str, ConfigError]:
    with pytest.raises(ConfigErrors) as caught:
        read(text, directory, **environ)
    assert caught.value.errors
    return {error.path: error for error in caught.value.errors}


def test_what_is_not_said_has_its_default() -> None:
    house = read('street = "Mill Lane"')
    assert house.age == timedelta(days=1)
    assert house.weight == 1024
    assert (house.cellar, house.rooms, house.lamp, house.door, house.best) == (
        None,
        (),
        {},
        None,
        None,
    )


def test_every_form_is_read() -> None:
    house = read(
        """
        street = "Mill Lane"
        age = "2w"
        weight = 77
        cellar = "below/stairs"
        rooms = ["hall", "kitchen"]
        networks = ["10.0.0.0/8"]
        spare = [{}, { warm = true }]
        door = "4711"
        grades = { a = "1KiB", b = 2 }
        [lamp.hall]
        watts = 40
        [lamp.kitchen]
        shade = { colour = "red" }
        """
    )
    assert house.age == timedelta(weeks=2)
    assert house.weight == 77
    assert house.cellar == Path("/house/below/stairs")
    assert house.rooms == ("hall", "kitchen")
    assert house.networks == frozenset({ip_network("10.0.0.0/8")})
    assert [shade.warm for shade in house.spare] == [False, True]
    assert house.door == Secret(b"4711")
    assert house.grades == {"A": 1024, "B": 2}
    assert {name: lamp.watts for name, lamp in house.lamp.items()} == {"hall": 40, "kitchen": 60}
    assert house.lamp["kitchen"].shade.colour == "red"


def test_a_preset_lies_under_what_is_said() -> None:
    house = read(
        """
        street = "x"
        [lamp.a]
        preset = "night"
        [lamp.b]
        preset = "night"
        watts = 7
        shade = { warm = true }
        """
    )
    assert (house.lamp["a"].watts, house.lamp["a"].shade.colour) == (5, "red")
    assert (house.lamp["b"].watts, house.lamp["b"].shade.colour) == (7, "red")
    assert house.lamp["b"].shade.warm


# ------------------------------------------------------------------ errors


def test_all_that_is_wrong_is_said_at_once_by_path() -> None:
    found = errors(
        """
        stret = "x"
        age = "soon"
        weight = "much"
        rooms = "hall"
        networks = ["10.0.0.0/8", "x"]
        spare = [{}, { colour = "blue" }, 5]
        [lamp.Hall]
        [lamp.hall]
        watts = "bright"
        shade = 5
        """
    )
    assert set(found) == {
        "stret",
        "street",
        "age",
        "weight",
        "rooms",
        "networks[1]",
        "spare[1].colour",
        "spare[2]",
        "lamp.Hall",
        "lamp.hall.watts",
        "lamp.hall.shade",
    }
    assert found["stret"].hint == "did you mean street?"
    assert str(found["age"]) == "age: expected a duration such as 90s, 15m, 1h or 30d, found 'soon'"
    assert str(found["street"]) == "street: is missing"
    assert found["lamp.hall.watts"].problem == "expected a whole number, found text"
    assert found["spare[1].colour"].problem == 'expected one of "red", "green", found \'blue\''


def test_the_error_of_errors_has_a_line_for_each() -> None:
    with pytest.raises(ConfigErrors) as caught:
        read('stret = "x"\nage = 5')
    assert str(caught.value).splitlines() == [
        "stret: there is no such setting",
        "street: is missing",
        "age: expected text in quotes, found the number 5",
    ]


def test_a_single_error_has_its_path_and_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        read('street = "x"\nage = 5')
    assert caught.value.path == "age"
    assert caught.value.hint == 'write the unit too: "5s" is seconds'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("street = 5", "expected text in quotes, found the number 5"),
        ("street = true", "expected text in quotes, found true"),
        ("street = []", "expected text in quotes, found a list"),
        ("street = {}", "expected text in quotes, found a table"),
        ("street = 2026-01-01", "expected text in quotes, found a date or time"),
        ('street = " "', "expected text, found nothing"),
        (r'street = "a\u0000b"', "expected text, found text with control characters"),
    ],
)
def test_a_value_of_another_kind_is_named(line: str, problem: str) -> None:
    assert errors(line)["street"].problem == problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("watts = 0", "expected at least 1, found 0"),
        ("watts = 101", "expected at most 100, found 101"),
        ("watts = true", "expected a whole number, found true"),
        ("watts = 5.0", "expected a whole number, found the number 5.0"),
    ],
)
def test_a_number_has_bounds(line: str, problem: str) -> None:
    assert errors(f'street = "x"\n[lamp.a]\n{line}')["lamp.a.watts"].problem == problem


def test_the_bounds_of_a_duration_are_durations() -> None:
    found = errors('street = "x"\nage = "59m"')
    assert found["age"].problem == "expected at least 1h, found 59m"


def test_what_a_class_refuses_has_the_whole_path() -> None:
    found = errors('street = "x"\n[lamp.a]\nwatts = 95\nshade = { warm = true }')
    assert str(found["lamp.a.watts"]) == "lamp.a.watts: expected less for a warm shade"


def test_a_wrong_key_is_shown_on_one_line_and_not_at_length() -> None:
    (path,) = set(errors(f'"{"x" * 500}" = 1')) - {"street"}
    assert len(path) < 90
    (path,) = set(errors('"a\\nb" = 1')) - {"street"}
    assert "\n" not in path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*"abc", "watts", "shade", "colour"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*House.__dataclass_fields__, "door_file", "x", "", "\n"]),
        json_values,
        max_size=6,
    )
)
def test_whatever_a_file_holds_is_read_or_named(raw: dict[str, object]) -> None:
    try:
        house = config.read(raw, House, directory=Path("/nowhere"))
    except ConfigErrors as caught:
        for error in caught.errors:
            assert "\n" not in str(error)
    else:
        assert isinstance(house.street, str)


# ------------------------------------------------------------------ secrets


def test_a_secret_is_not_shown() -> None:
    house = read('street = "x"\ndoor = "4711"')
    assert "4711" not in repr(house)
    assert house.door is not None
    assert house.door.text() == "4711"


def test_a_secret_comes_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"4711\r\n")
    house = read('street = "x"\ndoor_file = "code"', tmp_path)
    assert house.door == Secret(b"4711")
    assert house.door is not None
    assert house.door.source == str(tmp_path / "code")


def test_only_one_line_break_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b" 4711\n\n")
    assert read('street = "x"\ndoor_file = "code"', tmp_path).door == Secret(b" 4711\n")


def test_a_secret_that_is_given_twice_is_refused() -> None:
    assert "twice" in errors('street = "x"\ndoor = "1"\ndoor_file = "2"')["door"].problem


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 70_000])
def test_an_empty_or_endless_secret_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(content)
    assert set(errors('street = "x"\ndoor_file = "code"', tmp_path)) == {"door_file"}


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = errors('street = "x"\ndoor_file = "code"', tmp_path)
    assert str(tmp_path / "code") in found["door_file"].problem
    assert "No such file" in found["door_file"].problem


def test_a_secret_comes_from_the_credentials_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "door-code").write_bytes(b"4711")
    house = read('street = "x"', CREDENTIALS_DIRECTORY=str(tmp_path))
    assert house.door == Secret(b"4711")


def test_a_path_may_be_among_the_credentials(tmp_path: Path) -> None:
    text = 'street = "x"\ncellar = "$CREDENTIALS_DIRECTORY/key"'
    assert read(text, CREDENTIALS_DIRECTORY=str(tmp_path)).cellar == tmp_path / "key"
    assert "CREDENTIALS_DIRECTORY is not set" in errors(text)["cellar"].problem


def test_a_secret_may_have_a_variable_of_its_own() -> None:
    assert read('street = "x"', DOOR_CODE="4711").door == Secret(b"4711", "DOOR_CODE")


def test_a_secret_with_another_kind_of_value_does_not_show_it() -> None:
    assert "4711" not in str(errors('street = "x"\ndoor = 4711')["door"])


def test_text_of_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        Secret(b"\xff", "x").text()


# ------------------------------------------------------------------ environment


def test_variables_stand_above_the_file() -> None:
    house = read(
        'street = "x"\n[lamp.night-hall]\nwatts = 5',
        SCEPKIT_AGE="3h",  # one underscore: not a setting
        SCEPKIT_LAMP__NIGHT_HALL__WATTS="7",
        SCEPKIT_LAMP__NEW__SHADE__WARM="yes",
    )
    assert house.age == timedelta(days=1)
    assert house.lamp["night-hall"].watts == 7
    assert house.lamp["new"].shade.warm


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    main: House = setting("")


def town(**environ: str) -> Town:
    raw = {"main": {"street": "x", "door_file": "nowhere"}}
    return config.read(raw, Town, directory=Path("/"), environ=environ)


def test_a_variable_is_read_as_its_setting_is() -> None:
    found = town(
        SCEPKIT_MAIN__ROOMS="hall, kitchen",
        SCEPKIT_MAIN__NETWORKS='["10.0.0.0/8"]',
        SCEPKIT_MAIN__WEIGHT="2KiB",
        SCEPKIT_MAIN__STREET="5",
        SCEPKIT_MAIN__DOOR="4711",
        SCEPKIT_MAIN__BEST="{ watts = 9 }",
    ).main
    assert found.rooms == ("hall", "kitchen")
    assert found.networks == frozenset({ip_network("10.0.0.0/8")})
    assert found.weight == 2048
    assert found.street == "5"
    assert found.door == Secret(b"4711")
    assert found.door is not None
    assert found.door.source == "SCEPKIT_MAIN__DOOR"
    assert found.best is not None
    assert found.best.watts == 9


def test_a_secret_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"4711")
    assert town(SCEPKIT_MAIN__DOOR_FILE=str(tmp_path / "code")).main.door == Secret(b"4711")


@pytest.mark.parametrize(
    "variable",
    [
        "SCEPKIT_MAIN__STRET",
        "SCEPKIT_MIAN__STREET",
        "SCEPKIT_MAIN__STREET__X",
        "SCEPKIT_MAIN__STREET_FILE",
        "SCEPKIT_MAIN__LAMP__HALL",
        "SCEPKIT___",
    ],
)
def test_a_variable_that_names_no_setting_is_an_error(variable: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        town(**{variable: "x", "SCEPKIT_MAIN__DOOR": "x"})
    assert [error.path for error in caught.value.errors] == [variable]


def test_a_table_and_what_is_in_it_are_not_two_variables() -> None:
    with pytest.raises(ConfigErrors, match="names no setting"):
        town(
            SCEPKIT_MAIN__DOOR="x",
            SCEPKIT_MAIN__BEST="{ watts = 9 }",
            SCEPKIT_MAIN__BEST__WATTS="10",
        )


@pytest.mark.parametrize(
    ("name", "text"), [("ROOMS", "[1"), ("BEST", "x"), ("BEST__SHADE__WARM", "maybe")]
)
def test_a_variable_in_the_wrong_form_is_named(name: str, text: str) -> None:
    variable = f"SCEPKIT_MAIN__{name}"
    with pytest.raises(ConfigErrors, match=variable):
        town(**{variable: text, "SCEPKIT_MAIN__DOOR": "x"})


# ------------------------------------------------------------------ files


def test_a_file_is_read_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text('street = "x"\ncellar = "c"\n')
    assert config.load(file, House, {}).cellar == tmp_path / "c"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'street = "x', "is not TOML"),
        (b"\xff", "is not UTF-8"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"#" * (5 << 20), "too long"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigErrors, match=problem):
        config.load(file, House, {})


def test_nobody_waits_for_a_pipe_to_say_something(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigErrors, match="cannot be read: it is a pipe"):
        config.load(tmp_path / "pipe.toml", House, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"nothing\.toml cannot be read: No such file") as caught:
        config.load(tmp_path / "nothing.toml", House, {})
    assert caught.value.hint == "name it with --config FILE; scepkit init makes a new CA"
    with pytest.raises(ConfigErrors, match="cannot be read"):
        config.load(tmp_path, House, {})
