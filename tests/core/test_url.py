"""core.url: every spelling of a server's address, and what of it people may see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core.url import Target, bracketed, parse_endpoint, shown_url, split_url
from scepkit.errors import InputError


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("http://ca.test", "http://ca.test/cgi-bin/pkiclient.exe"),
        ("http://ca.test?x=1", "http://ca.test/cgi-bin/pkiclient.exe?x=1"),
        ("http://ca.test/", "http://ca.test/"),
        ("HTTPS://CA.Test:8443/Scep", "https://ca.test:8443/Scep"),
        ("http://ca.test:/scep?", "http://ca.test/scep"),
        (" http://ca.test/scep ", "http://ca.test/scep"),
        ("http://192.0.2.7:080/scep", "http://192.0.2.7:80/scep"),
        ("http://ca_1.test./scep", "http://ca_1.test./scep"),
        ("http://[2001:DB8::1]:80/scep", "http://[2001:db8::1]:80/scep"),
        ("http://[::1]", "http://[::1]/cgi-bin/pkiclient.exe"),
        ("http://[fe80::1%eth0]/scep", "http://[fe80::1%25eth0]/scep"),
        ("http://[fe80::1%25eth0]/scep", "http://[fe80::1%25eth0]/scep"),
        ("http://ca.test/my ca/é%20", "http://ca.test/my%20ca/%C3%A9%20"),
        ("http://ca.test/scep?ca=ü b", "http://ca.test/scep?ca=%C3%BC%20b"),
    ],
)
def test_a_url_is_normalised(url: str, normalised: str) -> None:
    endpoint = parse_endpoint(url)
    assert endpoint.url == normalised
    assert parse_endpoint(endpoint.url) == endpoint


def test_the_parts_of_an_ipv6_url_are_without_brackets() -> None:
    endpoint = parse_endpoint("https://[fe80::1%25eth0]:8443/scep")
    assert (endpoint.host, endpoint.port, endpoint.path) == ("fe80::1%eth0", 8443, "/scep")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("http://ca.test/\r\nX: y", "control character"),
        ("http://ca.test/\u2028", "control character"),
        ("http://ca.test/\xa0", "odd blank"),
        ("http://ca.test\x7f/", "control character"),
        ("http://ca.test/\udcff", "control character"),
        ("ca.test/scep", "does not start with http"),
        ("/scep", "does not start with http"),
        ("ftp://ca.test/scep", "not over 'ftp'"),
        ("http://", "no host"),
        ("http:///scep", "no host"),
        ("http://:80/scep", "no host"),
        ("http://ca.test/scep#x", "fragment"),
        ("http://ca.test/scep#", "fragment"),
        ("http://ca.test:port/", "not a number from 1 to 65535"),
        ("http://ca.test:0/", "not a number from 1 to 65535"),
        ("http://ca.test:65536/", "not a number from 1 to 65535"),
        ("http://ca.test:000080/", "not a number from 1 to 65535"),
        ("http://ca.test:-1/", "not a number from 1 to 65535"),
        ("http://ca.test:٣/", "not a number from 1 to 65535"),
        ("http://2001:db8::1/scep", "more than one colon"),
        ("http://[2001:db8::1/scep", "no closing bracket"),
        ("http://[2001:db8::1]x/scep", "no closing bracket"),
        ("http://[nonsense]/scep", "not an IPv6 address"),
        ("http://[fe80::1% x]/scep", "not an IPv6 address"),
        ("http://bücher.test/", "not ASCII"),
        ("http://ca test/", "not a host name"),
        ("http://-ca.test/", "not a host name"),
        ("http://" + "a" * 64 + "/", "not a host name"),
        ("http://" + "a." * 127 + "/", "not a host name"),
        ("http://a..b/", "not a host name"),
        ("http://./", "not a host name"),
        ("http://ca.test/scep?operation=GetCACert", "already has operation="),
        ("http://ca.test/scep?x=1&OPERATION=", "already has operation="),
        ("http://ca.test/scep?%6fperation=x", "already has operation="),
        ("http://ca.test/scep?message=profile", "already has message="),
    ],
)
def test_an_impossible_url_is_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_endpoint(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="user name or a password") as caught:
        parse_endpoint("http://admin:hunter2@ca.test/scep")
    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert "basic_auth" in caught.value.hint


def test_an_endpoint_shows_no_query_values() -> None:
    endpoint = parse_endpoint("http://ca.test/scep?token=hunter2")
    assert str(endpoint) == "http://ca.test/scep?token=..."
    assert "hunter2" not in repr(endpoint)


@given(st.text())
def test_any_text_is_an_endpoint_or_an_input_error(text: str) -> None:
    for url in (text, f"http://{text}", f"https://ca.test/{text}"):
        try:
            endpoint = parse_endpoint(url)
        except InputError:
            continue
        assert endpoint.url.isascii()
        assert not set(endpoint.url) & set(" \r\n\t\x00")
        assert parse_endpoint(endpoint.url) == endpoint


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("http://CA.test", Target("http", "ca.test", 80, "/"), "ca.test"),
        ("http://ca.test?a=b", Target("http", "ca.test", 80, "/?a=b"), "ca.test"),
        ("https://ca.test:443/x", Target("https", "ca.test", 443, "/x"), "ca.test"),
        ("https://ca.test:80/x y", Target("https", "ca.test", 80, "/x%20y"), "ca.test:80"),
        (
            "http://[fe80::1%25eth0]:8080/s?operation=PKIOperation&message=%2B",
            Target("http", "fe80::1%eth0", 8080, "/s?operation=PKIOperation&message=%2B"),
            "[fe80::1]:8080",
        ),
    ],
)
def test_a_request_url_is_taken_apart(url: str, target: Target, authority: str) -> None:
    assert split_url(url) == target
    assert target.authority == authority


def test_only_ipv6_is_bracketed() -> None:
    assert bracketed("::1") == "[::1]"
    assert bracketed("ca.test") == "ca.test"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://ca.test/scep", "http://ca.test/scep"),
        ("http://u:p@w@ca.test/a@b", "http://ca.test/a@b"),
        ("http://u:p@ca.test", "http://ca.test"),
        (
            "http://ca.test/s?flag&key=1&operation=GetCACaps&message=x=y",
            "http://ca.test/s?flag&key=...&operation=GetCACaps&message=...",
        ),
        ("/scep?message=x", "/scep?message=..."),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
