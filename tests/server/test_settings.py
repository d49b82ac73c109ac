"""The server's settings: what contradicts itself is refused, and the reference is current."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepkit.ca.profile import CertificateProfile
from scepkit.config.schema import fields_of
from scepkit.errors import ConfigError, ConfigErrors, InputError
from scepkit.server import parsing, profiles
from scepkit.server.presets import PRESETS
from scepkit.server.reference import EXAMPLE, reference
from scepkit.server.settings import Settings, load_settings
from tests.server.written import settings_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

HERE = Path("/etc/scepkit")
SMALLEST: dict[str, Any] = {
    "secrets": {"challenge_key": "k" * 16},
    "ca": {"main": {"key": "main.key.pem", "certificate": "main.pem"}},
    "profile": {"default": {}},
}


def settings(**changes: Any) -> Settings:
    return settings_of(SMALLEST | changes, HERE)


def profile(**changes: Any) -> Settings:
    return settings(profile={"devices": changes})


def faults(**changes: Any) -> dict[str, str]:
    with pytest.raises(ConfigErrors) as caught:
        settings(**changes)
    return {error.path: error.problem for error in caught.value.errors}


# ------------------------------------------------------------------ what is there


def test_the_least_configuration_holds_every_request() -> None:
    found = settings()
    assert found.profile["default"].auth.holds
    assert found.directory == HERE
    assert found.ca["main"].key == HERE / "main.key.pem"
    assert found.passphrase is None


def test_a_file_gives_settings_and_variables_stand_above_it(tmp_path: Path) -> None:
    (tmp_path / "scepkit.toml").write_text(
        """
        [secrets]
        challenge_key_file = "challenge-key"
        [ca.main]
        key = "a"
        certificate = "b"
        [profile.routers]
        auth = { challenge = {} }
        """
    )
    (tmp_path / "challenge-key").write_text("k" * 32)
    found = load_settings(
        tmp_path / "scepkit.toml",
        {"SCEPKIT_SERVER__WORKERS": "3", "SCEPKIT_PASSPHRASE": "open sesame", "HOME": "/root"},
    )
    assert found.server.workers == 3
    assert found.directory == tmp_path
    assert found.passphrase == b"open sesame"
    assert "open sesame" not in repr(found)


def test_the_challenge_key_is_required_and_not_short() -> None:
    assert faults(secrets={}) == {"secrets.challenge_key": "is missing"}
    found = faults(secrets={"challenge_key": "k" * 15})
    assert found == {"secrets.challenge_key": "expected at least 16 bytes, found 15"}


@pytest.mark.parametrize("missing", ["ca", "profile"])
def test_a_ca_and_a_profile_are_required(missing: str) -> None:
    assert missing in faults(**{missing: {}})


def test_the_default_profile_is_the_one_of_that_name_or_the_only_one() -> None:
    assert settings().default_profile == "default"
    assert profile().default_profile == "devices"
    assert settings(profile={"a": {}, "b": {}}).default_profile is None


@pytest.mark.parametrize("name", ["mscep", "cgi-bin", "pkiclient"])
def test_a_profile_is_not_named_like_a_path_of_old_clients(name: str) -> None:
    assert f"profile.{name}" in faults(profile={name: {}})


@pytest.mark.parametrize("name", ["Main", "a b", "a/b", "..", "", "a.b", "a~2", "-a", "a" * 65])
def test_a_name_fits_into_a_url(name: str) -> None:
    with pytest.raises(ConfigErrors):
        settings(profile={name: {}})


def test_what_a_profile_names_must_exist() -> None:
    found = faults(
        profile={"x": {"ca": "mian", "ra": "none", "auth": {"renewal": {"allowed": ["old"]}}}}
    )
    assert found == {
        "profile.x.ca": "there is no 'mian'; expected one of main",
        "profile.x.ra": "there is no 'none'; expected one of nothing: none is configured",
        "profile.x.auth.renewal.allowed": "there is no 'old'; expected one of main",
    }


def test_with_several_cas_a_profile_says_which() -> None:
    two = {"a": SMALLEST["ca"]["main"], "b": SMALLEST["ca"]["main"]}
    assert faults(ca=two) == {"profile.default.ca": "is missing; expected one of a, b"}
    assert settings(ca=two, profile={"p": {"ca": "b"}}).ca_name("p") == "b"
    assert settings().ca_name("default") == "main"


def test_an_ra_has_a_key() -> None:
    assert "ra.x" in faults(ra={"x": {}})
    pair = {"key": "k", "certificate": "c"}
    found = settings(ra={"x": {"decrypt": [pair], "sign": pair}}).ra["x"]
    assert found.decrypt[0].key == HERE / "k"
    assert found.sign == found.decrypt[0]


def test_a_crl_is_made_before_the_last_one_ends() -> None:
    crl = {"lifetime": "1d", "overlap": "1d"}
    assert "ca.main.crl.overlap" in faults(ca={"main": SMALLEST["ca"]["main"] | {"crl": crl}})


# ------------------------------------------------------------------ who may enrol


@pytest.mark.parametrize(
    ("auth", "holds"),
    [
        ({}, True),
        ({"renewal": {}}, True),
        ({"challenge": {}}, False),
        ({"static_secret": "x"}, False),
        ({"webhook": {"url": "https://a.test/"}}, False),
        ({"program": {"argv": ["/bin/true"]}}, False),
        ({"challenge": {}, "manual": True}, True),
        ({"manual": False}, False),
    ],
)
def test_what_nothing_allows_is_held_unless_something_allows(
    auth: dict[str, object], holds: bool
) -> None:
    assert profile(auth=auth).profile["devices"].auth.holds is holds


def test_a_program_is_named_by_its_whole_path() -> None:
    for argv in ([], ["check"], ["./check"]):
        found = faults(profile={"x": {"auth": {"program": {"argv": argv}}}})
        assert found == {
            "profile.x.auth.program.argv": "expected the absolute path of a program first"
        }


def test_secrets_of_a_profile_are_not_shown() -> None:
    found = profile(
        auth={
            "static_secret": "s3cret-1",
            "webhook": {"url": "https://a.test", "secret": "s3cret-2", "bearer": "s3cret-3"},
        }
    )
    assert "s3cret" not in repr(found)


# ------------------------------------------------------------------ what certificates contain


def rules(**changes: Any) -> CertificateProfile:
    return profiles.certificate_profile(profile(**changes), "devices")


def test_a_profile_becomes_rules() -> None:
    found = rules(
        validity="90d",
        keys={"rsa_min": 3072, "curves": ["p256"]},
        subject={"attributes": ["CN", "1.2.3"], "fixed": "O=Acme", "allow_empty": True},
        san={"kinds": ["dns"], "unlisted": "drop", "wildcards": True, "most": 3},
        key_usage=["digitalSignature"],
        extended_key_usage=["clientAuth", "1.3.6.1.5.5.7.3.17"],
        policies=["1.2.3.4"],
    )
    assert found.validity == timedelta(days=90)
    assert found.keys.min_rsa_bits == 3072
    assert found.keys.curves == frozenset({"p256"})
    assert found.subject_attributes == {NameOID.COMMON_NAME, x509.ObjectIdentifier("1.2.3")}
    assert [attribute.value for attribute in found.fixed_subject] == ["Acme"]
    assert found.allow_empty_subject
    assert found.alternative_names.kinds == frozenset({"dns"})
    assert (found.unlisted_names, found.alternative_names.max_names) == ("drop", 3)
    assert found.key_usage == frozenset({"digital_signature"})
    assert found.extended_key_usage[0] == ExtendedKeyUsageOID.CLIENT_AUTH
    assert found.policies == (x509.ObjectIdentifier("1.2.3.4"),)


def test_an_unchanged_profile_is_the_ca_packages_own() -> None:
    assert rules() == CertificateProfile()


def test_rules_that_contradict_themselves_are_named_by_path() -> None:
    with pytest.raises(ConfigError, match="must never be copied") as caught:
        rules(copied_extensions=["2.5.29.19"])
    assert caught.value.path == "profile.devices"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"keys": {"rsa_min": 512}}, "keys.rsa_min"),
        ({"keys": {"rsa_min": 4096, "rsa_max": 2048}}, "keys.rsa_min"),
        ({"keys": {"rsa_min": 0, "curves": []}}, "keys"),
        ({"keys": {"curves": ["p192"]}}, "keys.curves[0]"),
        ({"key_usage": ["keyCertSign"]}, "key_usage[0]"),
        ({"san": {"kinds": ["fax"]}}, "san.kinds[0]"),
        ({"san": {"patterns": {"fax": "x"}}}, "san.patterns.fax"),
        ({"san": {"patterns": {"dns": "("}}}, "san.patterns.dns"),
        ({"subject": {"patterns": {"Colour": "x"}}}, "subject.patterns.Colour"),
        ({"subject": {"attributes": ["Colour"]}}, "subject.attributes[0]"),
        ({"subject": {"fixed": "Acme"}}, "subject.fixed"),
        ({"extended_key_usage": ["everything"]}, "extended_key_usage[0]"),
        ({"preset": "fridge"}, "preset"),
        ({"ocsp_urls": ["ftp://a"]}, "ocsp_urls[0]"),
    ],
)
def test_a_rule_that_is_none_is_named(changes: dict[str, object], path: str) -> None:
    assert set(faults(profile={"x": changes})) == {f"profile.x.{path}"}


def test_patterns_are_compiled() -> None:
    found = profile(
        subject={"patterns": {"CN": "router[0-9]+"}}, san={"patterns": {"dns": r".*\.acme\.test"}}
    ).profile["devices"]
    assert found.subject.patterns[NameOID.COMMON_NAME].fullmatch("router7")
    assert found.san.patterns["dns"].fullmatch("a.acme.test")


@pytest.mark.parametrize("preset", [*PRESETS])
def test_every_preset_makes_rules(preset: str) -> None:
    assert rules(preset=preset).extended_key_usage


def test_a_preset_is_a_default() -> None:
    found = profile(preset="windows", san={"wildcards": True}).profile["devices"]
    assert found.backdate == timedelta(hours=24)
    assert found.san.kinds == {"dns", "email", "uri", "upn"}
    assert found.san.wildcards


def test_certificates_say_where_their_crl_is() -> None:
    assert rules().crl_urls == ()
    found = settings(server={"public_url": "http://ca.example/"})
    assert profiles.crl_urls(found, "main", 1) == ("http://ca.example/crl/main.crl",)
    assert profiles.crl_urls(found, "main", 2) == ("http://ca.example/crl/main~2.crl",)
    assert profiles.issuer_urls(found, "main", 1) == ("http://ca.example/ca/main.cer",)
    second = profiles.certificate_profile(found, "default", generation=2)
    assert second.crl_urls == ("http://ca.example/crl/main~2.crl",)


@pytest.mark.parametrize("after", ["/scep", "/scep/", "?", "?a=b", "#", "/#scep", "//scep"])
def test_a_public_url_has_no_path(after: str) -> None:
    with pytest.raises(InputError, match="without a path") as caught:
        parsing.parse_public_url(f"http://ca.example:8080{after}")
    assert caught.value.hint.startswith("write http://ca.example:8080:")


def test_a_public_url_may_end_in_a_slash() -> None:
    assert parsing.parse_public_url("https://[::1]:8080/") == "https://[::1]:8080"


def test_addresses_may_be_given() -> None:
    ca = SMALLEST["ca"]["main"] | {
        "crl": {"urls": ["http://a.test/crl{generation}", "http://b.test/crl"]},
        "issuer_urls": [],
    }
    found = settings(server={"public_url": "http://ca.example"}, ca={"main": ca})
    assert profiles.crl_urls(found, "main", 3) == ("http://a.test/crl~3", "http://b.test/crl")
    assert profiles.issuer_urls(found, "main", 3) == ()


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize(
    "url", ["sqlite:///scepkit.db", "sqlite:////var/lib/x.db", "postgresql://u@h:5/d?sslmode=x"]
)
def test_a_database_has_a_url(url: str) -> None:
    assert parsing.parse_database_url(url) == url


@pytest.mark.parametrize(
    "url", ["", "scepkit.db", "sqlite://x", "sqlite:///", "mysql://h/d", "postgresql://u:pw1@h/d"]
)
def test_what_is_no_database_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InputError) as caught:
        parsing.parse_database_url(url)
    assert "pw1" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "ca.example", "ftp://a", "http://", "http://a:0", "http://a b", "http://ä"),
        *("http://u@a", "http://a?x", "http://a#x", "http://[::1", "http://a:99999"),
    ],
)
def test_what_is_no_url_for_a_certificate_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        parsing.parse_url(url)


@pytest.mark.parametrize("name", ["CN", "commonName", "cn", "serialNumber", "UID", "2.5.4.3"])
def test_an_attribute_has_a_name_or_an_oid(name: str) -> None:
    assert isinstance(parsing.parse_attribute(name), x509.ObjectIdentifier)


@pytest.mark.parametrize("name", ["", "Colour", "CN=a,O", "CN=a+O", "1", "a/b", "/CN", "C,N"])
def test_what_is_no_attribute_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no subject attribute"):
        parsing.parse_attribute(name)


def test_an_argument_of_a_program_has_no_nul() -> None:
    assert parsing.parse_text("--strict") == "--strict"
    with pytest.raises(InputError):
        parsing.parse_text("a\0b")


# ------------------------------------------------------------------ the reference


def test_the_reference_is_current() -> None:
    assert PAGE.read_text("utf-8") == reference(), (
        "run python -m scepkit.server.reference > docs/configuration.md"
    )


def test_the_example_of_the_reference_works(tmp_path: Path) -> None:
    for secret in re.findall(r'_file = "(.+)"', EXAMPLE):
        (tmp_path / secret).parent.mkdir(exist_ok=True)
        (tmp_path / secret).write_text("0123456789abcdef\n")
    (tmp_path / "scepkit.toml").write_text(EXAMPLE)
    found = load_settings(tmp_path / "scepkit.toml", {})
    assert found.profile["routers"].auth.challenge is not None
    assert found.profile["routers"].san.unlisted == "drop"


def every_setting(schema: type, path: str) -> list[tuple[str, Any, Any]]:
    found = []
    for name, (known, kind) in fields_of(schema).items():
        here = f"{path}.{name}" if path else name
        if hasattr(kind.inner, "__dataclass_fields__") and fields_of_or_none(kind.inner):
            found += every_setting(kind.inner, here)
        else:
            found.append((here, known, kind))
    return found


def fields_of_or_none(schema: type) -> bool:
    try:
        return bool(fields_of(schema))
    except KeyError:
        return False


def test_every_setting_has_a_sentence() -> None:
    for path, known, _ in every_setting(Settings, ""):
        assert known.doc.endswith("."), path
        assert f"**`{path.rpartition('.')[2]}`**" in reference()


def test_every_example_is_toml() -> None:
    for path, known, _ in every_setting(Settings, ""):
        if known.example:
            assert tomllib.loads(f"x = {known.example}"), path
