"""docs/interop.md: what it says is what is found, client by client and server by server.

``SCEPKIT_WRITE_INTEROP=1 scripts/test tests/interop/test_matrix.py`` writes the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from tests.interop.authority import Authority, Mode
from tests.interop.clients import CLIENTS
from tests.interop.jscep_peer import CHALLENGE, Jscep, serve
from tests.interop.matrix import jscep_client, page
from tests.interop.matrix.cells import (
    Kind,
    Operation,
    Trial,
    Verdict,
    not_offered,
)
from tests.interop.matrix.evidence import deviations
from tests.interop.matrix.library import Library, Server
from tests.interop.matrix.programs import Program
from tests.interop.matrix.running import Pair, run
from tests.interop.micromdm import CHALLENGE as MICROMDM_CHALLENGE
from tests.interop.micromdm import scepserver

#: Every one of them enrols some hundred times.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

_OURS = "our client and our server"
_MICROMDM = "our client and micromdm's scepserver"
_SERVLET = "our client and jscep's servlet"
_PROGRAMS = {
    "scepclient": "micromdm's scepclient and our server",
    "strongswan": "strongSwan and our server",
    "certmonger": "certmonger and our server",
}
_DES_ROWS = (
    Operation.SINGLE_DES,
    Operation.DES_ENROL,
    Operation.DES_RENEW,
    Operation.DES_POLL,
)


# Once for each server, and those are shared by the package.
@pytest.fixture(scope="package")
def ours(authorities: Mapping[Mode, Authority]) -> tuple[Authority, x509.Certificate]:
    """Our server, and the next generation of its CA, which is staged."""
    authority = authorities["ca"]
    (staged,) = authority.admin("ca", "rollover", "stage")["generations"]
    authority.server.reload()
    return authority, x509.load_pem_x509_certificate(staged["certificate"]["pem"].encode())


def settle_ours(server: Server, authority: Authority | None = None) -> None:
    """`settle` for our client."""
    with closing(Library(server)) as pair:
        settle(pair, authority)


def settle(pair: Pair, authority: Authority | None) -> None:
    """Try everything, and compare with the page; our server knows in what way messages came."""
    found = run(pair)
    if authority is not None:
        assert deviations(authority, pair.made) == []
    page.settled(pair.name, found)
    failures = {verdict.reason for verdict in found.values() if verdict.kind is Kind.FAILS}
    assert [reason for reason in failures if "'s fault: " not in reason] == []


def test_our_client_and_our_server(ours: tuple[Authority, x509.Certificate]) -> None:
    authority, next_ca = ours
    settle_ours(
        Server(
            _OURS,
            authority.endpoint().url,
            authority.ca_certificate(),
            next_ca,
            authority.challenge,
            slow=authority.endpoint("held").url,
            slow_challenge=lambda: authority.challenge("held"),
            decide=lambda: approve(authority),
            known={
                "is not RSA cannot decrypt replies": not_offered(
                    "RFC 8894 section 3.1 encrypts replies to an EC key under the"
                    " challengePassword, which a query has not got."
                )
            },
        ),
        authority,
    )


def approve(authority: Authority) -> None:
    """Approve everything that waits."""
    waiting = authority.admin("requests", "list", "--state", "pending", "--limit", "1000")
    authority.admin("requests", "approve", *(str(one["id"]) for one in waiting["requests"]))


def test_our_client_and_micromdms_server(tmp_path: Path) -> None:
    ec = not_offered(
        "scepserver signs a certificate with the CSR's algorithm, and so none for an EC key."
    )
    known = {
        "not implemented": not_offered("scepserver answers HTTP 500: not implemented."),
        "does not announce GetNextCACert": not_offered("scepserver does not announce it."),
        "encrypted with single DES": Verdict(
            Kind.REFUSED, "scepserver encrypts every reply with single DES."
        ),
    }

    def lacks(trial: Trial) -> Verdict | None:
        if trial.operation is Operation.POLL:
            return not_offered("scepserver holds no request for a person.")
        return None if trial.key.rsa else ec

    with scepserver(tmp_path) as server:
        running = Server(
            _MICROMDM,
            server.url,
            server.ca_certificate,
            None,
            lambda: MICROMDM_CHALLENGE,
            renewal_challenge=lambda: MICROMDM_CHALLENGE,
            legacy=True,
            known=known,
            lacks=lacks,
            extras=(Operation.MODERN,),
        )
        server.namespace.run(lambda: settle_ours(running))


def test_our_client_and_jsceps_servlet(jvm: Jscep) -> None:
    server = serve(jvm)
    settle_ours(
        Server(
            _SERVLET,
            server.url,
            server.ca.certificate,
            server.next_ca.certificate,
            lambda: CHALLENGE,
            slow=server.url,
            slow_challenge=lambda: CHALLENGE,
            slow_name="slow-",
            known={
                "Cannot find any provider supporting": not_offered(
                    "jscep encrypts replies to RSA keys only; to others it answers HTTP 500."
                )
            },
        )
    )


def test_jsceps_client_and_our_server(jvm: Jscep, ours: tuple[Authority, x509.Certificate]) -> None:
    authority, next_ca = ours
    settle(
        jscep_client.JscepClient(
            jvm,
            authority.endpoint().url,
            authority.endpoint("reviewed").url,
            authority.endpoint("modern").url,
            authority.ca_certificate(),
            next_ca,
            authority.challenge,
            lambda: approve(authority),
        ),
        authority,
    )


@pytest.mark.parametrize("program", list(_PROGRAMS))
def test_a_program_and_our_server(program: str, ours: tuple[Authority, x509.Certificate]) -> None:
    authority, _ = ours
    client = CLIENTS[program]
    client.version()
    extras = _DES_ROWS if program == "scepclient" else ()
    settle(Program(client, authority, _PROGRAMS[program], extras), authority)


def test_the_page_has_these_pairs_and_no_others() -> None:
    pairs = [_OURS, _MICROMDM, _SERVLET, jscep_client.NAME, *_PROGRAMS.values()]
    assert sorted(page.sections(page.PAGE.read_text())) == sorted(pairs)
