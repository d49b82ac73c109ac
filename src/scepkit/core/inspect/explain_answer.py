"""What a strict client checks of the CA's certificates, as GetCACert sends them.

The rule of this file: whether they are the right ones is for a fingerprint to say, not for us.
"""

from __future__ import annotations

from collections.abc import Iterator

from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE
from scepkit.core.inspect.explain_layers import encoding
from scepkit.core.inspect.explain_reply import way
from scepkit.core.inspect.explanation import Check, noted
from scepkit.core.inspect.values import CertificateInfo, Inspection


def checks(found: Inspection) -> Iterator[Check]:
    """The checks of certificates, or of whatever else came."""
    if found.http is not None:
        expected = CA_CERT_TYPE if found.kind == "Certificate" else CA_RA_CERT_TYPE
        yield from way(found, found.http, expected)
    if found.kind == "HTTP":
        return
    yield from encoding(found)
    if not found.certificates:
        text = f"it is a {found.kind} without a certificate"
        remedy = "ask for GetCACert at the SCEP address"
        yield Check("what it is", "fails", text, "an error", remedy, "RFC 8894 4.2")
        return
    one = len(found.certificates) == 1
    these = "this certificate is" if one else f"these {len(found.certificates)} certificates are"
    text = f"whether {these} the CA's"
    remedy = "compare the SHA-256 with what the CA's operator says"
    yield Check("fingerprint", "unseen", text, remedy=remedy)
    yield from _roles(found.certificates)
    remedy = "make a new certificate for the CA or RA"
    yield from noted(found, "certificates", "risk", ("Q30", "A24"), "clients may refuse it", remedy)


def _roles(certificates: tuple[CertificateInfo, ...]) -> Iterator[Check]:
    usual = "give the certificate that answers digitalSignature and keyEncipherment"
    stop = "clients of Apple and Windows stop"
    if not any(one.key.startswith("RSA") for one in certificates):
        text = "there is no RSA key to encrypt to"
        remedy = "put an RA with an RSA key before the CA"
        yield Check("recipient", "risk", text, stop, remedy, "RFC 8894 3.1")
    for step, usage in (("recipient", "keyEncipherment"), ("signer", "digitalSignature")):
        fit = [one for one in certificates if not one.key_usage or usage in one.key_usage]
        if fit:
            yield Check(step, "ok", f"{fit[0].subject} may do {usage}")
        else:
            text = f"no certificate has the key usage {usage}"
            yield Check(step, "risk", text, stop, usual, "Q21")
