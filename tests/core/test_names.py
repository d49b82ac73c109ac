"""Subjects, alternative names and purposes as text."""

from __future__ import annotations

import ipaddress
import re

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from scepkit.core.names import format_subject, parse_eku, parse_oid, parse_san, parse_subject
from scepkit.errors import InputError

OID = x509.ObjectIdentifier
UPN = OID("1.3.6.1.4.1.311.20.2.3")


def parts(text: str) -> list[list[tuple[str, str | bytes]]]:
    """The name as lists of (dotted OID, value), in the order it is encoded."""
    return [[(a.oid.dotted_string, a.value) for a in rdn] for rdn in parse_subject(text).rdns]


CN, C, ORG, OU, L = "2.5.4.3", "2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.7"

# ------------------------------------------------------------------ subjects


def test_rfc4514_text_is_encoded_from_its_end() -> None:
    assert parts("CN=a,O=b") == [[(ORG, "b")], [(CN, "a")]]


def test_the_order_is_that_of_cryptography() -> None:
    text = "CN=router1,OU=Lab,O=Acme,C=US"
    assert parse_subject(text) == x509.Name.from_rfc4514_string(text)


def test_openssl_text_is_encoded_as_it_is_written() -> None:
    assert parts("/C=US/O=Acme/CN=x") == [[(C, "US")], [(ORG, "Acme")], [(CN, "x")]]


def test_a_plus_joins_attributes_in_both_forms() -> None:
    joined = [[(ORG, "Acme")], [(CN, "x"), (L, "Paris")]]
    assert parts("CN=x+L=Paris,O=Acme") == joined
    assert parts("/O=Acme/CN=x+L=Paris") == joined


@pytest.mark.parametrize("text", ["", "  ", "/"])
def test_nothing_is_the_empty_name(text: str) -> None:
    assert parse_subject(text).rdns == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"CN=Acme\, Inc", "Acme, Inc"),
        (r"CN=a\+b", "a+b"),
        (r"CN=a\\b", "a\\b"),
        (r"CN=\#1", "#1"),
        (r"CN=\ a\ ", " a "),
        (r"CN=a\=b=c", "a=b=c"),
        (r"CN=Lu\C4\8Di\C4\87", "Lučić"),
        (r"CN=a\2Cb", "a,b"),
        (r"CN=a\;b\<c\>", "a;b<c>"),
        (r"CN=\"a\"", '"a"'),
        ('CN="Acme, Inc; + more"', "Acme, Inc; + more"),
        (r'CN="a \" b"', 'a " b'),
        ('CN= "a" ', "a"),
        ("CN=  a b  ", "a b"),
        ("CN=a/b", "a/b"),
        ("CN=a#b", "a#b"),
        (r"CN=a\\  ", "a\\"),
        ("CN=Zoë 🌍", "Zoë 🌍"),
    ],
)
def test_rfc4514_escapes_and_quotes(text: str, value: str) -> None:
    assert parts(text) == [[(CN, value)]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"/CN=a\/b", "a/b"),
        (r"/CN=a\+b", "a+b"),
        (r"/CN=a\\b", "a\\b"),
        ("/CN=a,b", "a,b"),
        ('/CN="a"', '"a"'),
        ("/CN=a=b", "a=b"),
        ("/CN=a;b", "a;b"),
    ],
)
def test_openssl_escapes(text: str, value: str) -> None:
    assert parts(text) == [[(CN, value)]]


def test_blanks_around_separators_do_not_count() -> None:
    assert parts("CN = a , O = b + OU = c") == [[(ORG, "b"), (OU, "c")], [(CN, "a")]]


@pytest.mark.parametrize(
    ("word", "dotted"),
    [
        ("cn", CN),
        ("CommonName", CN),
        ("emailAddress", "1.2.840.113549.1.9.1"),
        ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
        ("E", "1.2.840.113549.1.9.1"),
        ("serialNumber", "2.5.4.5"),
        ("dc", "0.9.2342.19200300.100.1.25"),
        ("uid", "0.9.2342.19200300.100.1.1"),
        ("unstructuredName", "1.2.840.113549.1.9.2"),
        ("ST", "2.5.4.8"),
        ("S", "2.5.4.8"),
        ("l", L),
        ("street", "2.5.4.9"),
        ("SN", "2.5.4.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("OID.1.2.3.4", "1.2.3.4"),
        ("2.5.4.3", CN),
    ],
)
def test_attribute_names_are_known_in_any_case(word: str, dotted: str) -> None:
    assert parts(f"{word}=x") == [[(dotted, "x")]]
    assert parts(f"/{word}=x") == [[(dotted, "x")]]


def test_a_hash_begins_a_value_in_der() -> None:
    name = parse_subject("1.2.3=#0c0174,O=b")
    assert [(a.oid.dotted_string, a.value) for a in name] == [(ORG, "b"), ("1.2.3", "t")]


def test_a_value_in_der_keeps_its_string_type() -> None:
    assert parse_subject("O=#130161").public_bytes() == bytes.fromhex(
        "300c310a3008060355040a130161"
    )


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("router1", "'router1'"),
        ("/CN=a/b", "'b'"),
        ("CN=a,b", "'b'"),
        ("CN=a,,O=b", "empty piece"),
        ("CN=a,", "empty piece"),
        ("=a", "'=a'"),
        ("//CN=a", "empty piece"),
        ("XY=a", "'XY'"),
        ("CN=", "'CN='"),
        ("/O=", "'O='"),
        ("C=USA", "'C=USA'"),
        (f"CN={'a' * 65}", "65"),
        (f"CN={'é' * 33}", "66"),
        ("serialNumber=a_b", "'_'"),
        ("emailAddress=é@example.com", "not ASCII"),
        ("DC=é", "not ASCII"),
        ("CN=a\nb", "U+000A"),
        (r"CN=a\00b", "U+0000"),
        ("CN=a\udc80", "Unicode"),
        (r"CN=ACME\host", r"backslash before 'h'"),
        ("CN=a\\", "backslash"),
        ("/CN=a\\", "backslash"),
        (r"CN=\C4", "UTF-8"),
        ('CN="a', "double quote"),
        ('CN="a"b', "double quote"),
        ('CN=a"b"', "double quote"),
        ("CN=a;O=b", "';'"),
        ('"="', "double quote"),
        ("CN=#zz", "hexadecimal"),
        ("CN=#", "DER"),
        ("CN=#0c0261", "DER"),
        ("CN=#020101", "string"),
        (f"CN=#0c41{'61' * 65}", "value"),
        ("O=#13015f00", "DER"),
        ("CN=a+CN=a", "twice"),
        ("1.2.99999999999999999999999999.=a", "'1.2"),
        ("9.9.9=a", "9.9.9"),
    ],
)
def test_an_error_names_the_piece_that_is_wrong(text: str, quoted: str) -> None:
    with pytest.raises(InputError, match=re.escape(quoted)):
        parse_subject(text)


def test_the_hint_for_an_unescaped_separator_says_how_to_escape_it() -> None:
    with pytest.raises(InputError) as caught:
        parse_subject("/CN=http://router1")
    assert r"\/" in caught.value.hint


@pytest.mark.parametrize("text", ["router1", " router 1 ", "router1.example.com"])
def test_a_bare_value_is_shown_as_a_common_name(text: str) -> None:
    with pytest.raises(InputError, match="not of the form NAME=value") as caught:
        parse_subject(text)
    assert caught.value.hint.startswith(f"write 'CN={text.strip()}'")


def test_a_value_behind_a_comma_is_no_common_name() -> None:
    with pytest.raises(InputError, match="not of the form NAME=value") as caught:
        parse_subject("O=Acme, Inc")
    assert "CN=" not in caught.value.hint


def test_an_unknown_attribute_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        parse_subject("XY=a")
    assert "CN" in caught.value.hint
    assert "emailAddress" in caught.value.hint


CONTROLS = "".join(map(chr, [*range(32), 127]))

_values = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS),
    min_size=1,
    max_size=16,
)
_attributes = st.tuples(
    st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, OID("1.2.3.4")]), _values
).map(lambda pair: x509.NameAttribute(*pair))
_rdns = st.lists(_attributes, min_size=1, max_size=3, unique=True).map(
    x509.RelativeDistinguishedName
)
_names = st.lists(_rdns, max_size=4).map(x509.Name)


@given(_names)
def test_a_formatted_name_is_read_back(name: x509.Name) -> None:
    assert parse_subject(format_subject(name)) == name


@given(_names)
def test_the_text_of_cryptography_is_read_back(name: x509.Name) -> None:
    assert parse_subject(name.rfc4514_string()) == name


@given(_names)
def test_openssl_text_is_read_back(name: x509.Name) -> None:
    def escaped(value: str | bytes) -> str:
        return re.sub(r"([\\/+])", r"\\\1", str(value))

    text = "".join(
        "/" + "+".join(f"{a.oid.dotted_string}={escaped(a.value)}" for a in rdn)
        for rdn in name.rdns
    )
    assert parse_subject(text) == name


@given(st.text(st.sampled_from('CNO=,+/\\"#;. 0123abé\x00\n_\udc80'), max_size=30))
@example('CN="')
def test_any_text_is_a_name_that_can_be_encoded_or_an_input_error(text: str) -> None:
    try:
        name = parse_subject(text)
    except InputError:
        return
    assert x509.Name.from_bytes(name.public_bytes()) == name


def test_friendly_names_are_written() -> None:
    name = parse_subject("emailAddress=a@example.com,serialNumber=1,CN=x")
    assert format_subject(name) == "emailAddress=a@example.com,serialNumber=1,CN=x"


# ------------------------------------------------------------------ alternative names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dns:router1.example.com", x509.DNSName("router1.example.com")),
        ("DNS: *.example.com ", x509.DNSName("*.example.com")),
        ("dns:_sip.example.com", x509.DNSName("_sip.example.com")),
        ("ip:192.0.2.1", x509.IPAddress(ipaddress.ip_address("192.0.2.1"))),
        ("ip:2001:db8::1", x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
        ("email:a@example.com", x509.RFC822Name("a@example.com")),
        ("uri:https://example.com/x", x509.UniformResourceIdentifier("https://example.com/x")),
        ("uri:tag:example.com,2022:x", x509.UniformResourceIdentifier("tag:example.com,2022:x")),
        ("upn:a@example.com", x509.OtherName(UPN, b"\x0c\x0da@example.com")),
        ("dirname:CN=x,O=y", x509.DirectoryName(x509.Name.from_rfc4514_string("CN=x,O=y"))),
        ("rid:1.2.3", x509.RegisteredID(OID("1.2.3"))),
        ("othername:1.2.3;UTF8:tëxt", x509.OtherName(OID("1.2.3"), b"\x0c\x05t\xc3\xabxt")),
        ("othername:1.2.3;DER:0c0174", x509.OtherName(OID("1.2.3"), b"\x0c\x01t")),
    ],
)  # fmt: skip
def test_alternative_names_of_every_kind(text: str, expected: x509.GeneralName) -> None:
    assert parse_san(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "router1.example.com",
        "host:router1",
        "dns:",
        "dns:a..b",
        "dns:-a.b",
        "dns:a b",
        "dns:a*.b",
        "dns:" + "a" * 64,
        "dns:" + "a." * 127 + "a",
        "ip:1.2.3",
        "ip:10.0.0.0/8",
        "ip:fe80::1%eth0",
        "email:a",
        "email:@b",
        "email:a@b@c",
        "email:é@example.com",
        "uri:no-scheme",
        "uri:http://a b",
        "uri:http://é/",
        "dirname:x",
        "rid:x",
        "upn:\udc80",
        "othername:1.2.3",
        "othername:x;UTF8:a",
        "othername:1.2.3;DER:zz",
        "othername:1.2.3;DER:0c02",
        "othername:1.2.3;DER:",
        "dns:a\x00.b",
    ],
)
def test_a_wrong_alternative_name_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_san(text)


def test_a_name_without_its_kind_gets_the_likely_one_as_a_hint() -> None:
    with pytest.raises(InputError) as caught:
        parse_san("router1.example.com")
    assert caught.value.hint == "for a host name write dns:router1.example.com"


def test_an_international_host_name_gets_its_a_label_as_a_hint() -> None:
    with pytest.raises(InputError) as caught:
        parse_san("dns:bücher.example")
    assert "dns:xn--bcher-kva.example" in caught.value.hint


SAN_KINDS = ["dns", "ip", "email", "uri", "upn", "dirname", "rid", "othername"]


@given(st.text(max_size=30), st.sampled_from(SAN_KINDS))
def test_any_alternative_name_can_be_encoded_or_is_an_input_error(text: str, kind: str) -> None:
    try:
        name = parse_san(f"{kind}:{text}")
    except InputError:
        return
    assert x509.SubjectAlternativeName([name]).public_bytes()


# ------------------------------------------------------------------ purposes


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("clientAuth", "1.3.6.1.5.5.7.3.2"),
        ("CLIENTAUTH", "1.3.6.1.5.5.7.3.2"),
        (" serverAuth ", "1.3.6.1.5.5.7.3.1"),
        ("eapOverLAN", "1.3.6.1.5.5.7.3.14"),
        ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
        ("smartcardLogon", "1.3.6.1.4.1.311.20.2.2"),
        ("msSmartcardLogin", "1.3.6.1.4.1.311.20.2.2"),
        ("kdc", "1.3.6.1.5.2.3.5"),
        ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
        ("anyExtendedKeyUsage", "2.5.29.37.0"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_key_purposes_by_name_and_oid(text: str, dotted: str) -> None:
    assert parse_eku(text).dotted_string == dotted


def test_the_names_mean_what_cryptography_means() -> None:
    for name in ("SERVER_AUTH", "CLIENT_AUTH", "CODE_SIGNING", "TIME_STAMPING", "OCSP_SIGNING"):
        assert parse_eku(name.replace("_", "")) == getattr(ExtendedKeyUsageOID, name)


@pytest.mark.parametrize("text", ["", "client", "1", "1.2.", "3.1.2", "1.2.x", "1..2"])
def test_a_wrong_key_purpose_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_eku(text)


@pytest.mark.parametrize("text", ["", "a", "1", "-1.2", "1.40", "1.2." + "9" * 200])
def test_a_wrong_oid_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_oid(text)


@pytest.mark.parametrize("text", ["CN=" + "a" * 3000, "O" * 3000, "CN=x" + "\\" + "y" * 3000])
def test_error_about_a_long_subject_is_not_long(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_subject(text)
    assert "..." in str(caught.value)
    assert len(str(caught.value)) < 300
