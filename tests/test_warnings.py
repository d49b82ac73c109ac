"""Certificates that `cryptography` warns of reach the user as they are, and its warnings do not.

In processes of their own: here, in the tests, warnings are errors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ODD_CA = """
import warnings
import scepkit
from scepkit.core import flows
from scepkit.keys import load_certificates, pem, to_pkcs12
from tests import cms_writer as w, odd_certificates as odd, pki
from tests.core import talk

# What makes such certificates here is not what is tested.
warnings.filterwarnings("ignore", module=r"tests\\.")

def odd_name(common_name):
    country = w.seq(w.oid("2.5.4.6"), w.printable("GBR"))
    return w.seq(w.tlv(0x31, country), w.tlv(0x31, w.seq(w.oid("2.5.4.3"), common_name)))

NAME = odd_name(w.printable("x" * 70))
CA = pki.root()
for part in (odd.SUBJECT, odd.ISSUER):
    CA = odd.with_part(CA, part, NAME)
CA = odd.with_part(CA, odd.SERIAL, bytes.fromhex("020100"))

def issue(request, asked):
    csr = talk.read_csr(asked.data.csr)
    plain = pki.Identity(talk.certified(csr.subject, csr.public_key), talk.KEY)
    for part, value in ((odd.SERIAL, bytes.fromhex("0201ff")), (odd.ISSUER, NAME),
                        (odd.SUBJECT, odd_name(w.printable("")))):
        plain = odd.with_part(plain, part, value, CA)
    return talk.Success((plain.der,))
"""

USES = {
    "enrolment": """
server = talk.Server(ca=CA, offered=(CA,), answer=issue)
talker = talk.Talk(server)
talker.anchor = CA.certificate
known = talker.learn()
result = talk.enrol(talker, known)
assert result.chain == (CA.certificate,)
renewed = scepkit.renewal_csr(result.certificate, talk.KEY)
assert len(result.warnings) == 1, result.warnings
""",
    "refusal": """
from scepkit.core.trust import CaOffer
try:
    scepkit.Fingerprint("00" * 32)(CaOffer("http://x/", None, (CA.certificate,)))
except scepkit.TrustError as error:
    assert "xxx" in str(error)
""",
    "files": """
(one,) = load_certificates(pem(CA.certificate))
archive = to_pkcs12("x", CA.key, one, [], b"pw")
assert load_certificates(archive, b"pw") == (one,)
scepkit.PinnedCertificate(one)
scepkit.Requester(one, CA.key)
""",
    "command line": """
from scepkit.cli.describe import certificate_values, crl_values
assert certificate_values(CA.certificate)["serialNumber"] == "0"
from scepkit.core.crl import read_crl
from tests.core.exchange import crl_of
from scepkit.core.ca_certificates import authenticate
from scepkit.core.trust import CaOffer
offer = CaOffer("http://x/", None, (CA.certificate,))
known = authenticate(offer, offer.ca, pki.NOW)
crl = read_crl([crl_of(CA)], known, issuer=NAME)
assert "xxx" in crl_values(crl)["issuer"]
""",
    "inspection": """
from scepkit.core.inspect import inspect_message, render_text, to_json
found = inspect_message(CA.der)
assert "xxx" in render_text(found)
""",
}


@pytest.mark.parametrize("options", [(), ("-W", "error")], ids=["usual", "strict"])
@pytest.mark.parametrize("use", USES)
def test_no_warning_of_a_foreign_certificate_reaches_the_user(
    use: str, options: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, *options, "-c", ODD_CA + USES[use]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_warnings_of_others_are_left_alone() -> None:
    script = "import scepkit.client, warnings; warnings.warn('mind the gap')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "UserWarning: mind the gap" in done.stderr
