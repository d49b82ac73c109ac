"""Fixtures of a test CA for pytest.

The rule of this file: it is the only one that imports pytest.  Name it in a conftest.py:

    pytest_plugins = ["scepkit.testing.pytest_plugin"]

and ask for what you need:

    def test_my_client_enrols(scep_ca, scep_url):
        my_client.enrol(scep_url, challenge="secret", fingerprint=scep_ca.fingerprint)
        assert scep_ca.issued
        assert scep_ca.messages[-1].challenge_matched
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scepkit.testing.ca import TestCa


@pytest.fixture
def scep_ca() -> TestCa:
    """A fresh CA with an RSA key and the challenge "secret"; change it at will."""
    return TestCa()


@pytest.fixture
def scep_url(scep_ca: TestCa) -> Iterator[str]:
    """The URL of `scep_ca` on 127.0.0.1 while the test runs."""
    with scep_ca.serve() as url:
        yield url
