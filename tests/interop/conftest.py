"""The servers that foreign clients talk to, shared by the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.interop.authority import MODES, Authority, Mode, authorities
from tests.interop.jscep_peer import Jscep, jscep


@pytest.fixture(scope="package", name="authorities")
def running_authorities(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[Mode, Authority]]:
    """A running server for each mode."""
    with authorities(tmp_path_factory.mktemp("authorities")) as running:
        yield running


@pytest.fixture(params=list(MODES))
def authority(request: pytest.FixtureRequest, authorities: Mapping[Mode, Authority]) -> Authority:
    """Each of the servers."""
    return authorities[request.param]


@pytest.fixture(scope="package")
def jvm() -> Iterator[Jscep]:
    """A JVM with jscep in it, which takes longer to start than to enrol."""
    with jscep() as running:
        yield running
