"""The certificate request: proof of possession, names, extensions, keys (RFC 8894 section 3.3.1).

The rule of this file: the message around the request is right and authorised.
"""

from __future__ import annotations

import secrets

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.conformance import crafted
from scepkit.conformance.answers import Answer
from scepkit.conformance.judging import BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, must_refuse
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.verdicts import (
    Verdict,
    failed,
    inconclusive,
    passed,
    together,
    warned,
)
from scepkit.core import asn1
from scepkit.core.names import format_subject
from scepkit.errors import ScepError

ISSUE = {Need.ISSUE}
_UTF8 = 0x0C


def _rdn(*pairs: tuple[str, str]) -> bytes:
    encoded = [
        asn1.element(asn1.SEQUENCE, asn1.oid_der(oid), asn1.element(_UTF8, text.encode()))
        for oid, text in pairs
    ]
    return asn1.element(asn1.SET, *sorted(encoded))


_CN, _O, _OU = "2.5.4.3", "2.5.4.10", "2.5.4.11"


@check(
    "T51",
    Class.QUIRK,
    "odd subjects and many names are certified or refused, without a fault of the server's own",
    section="RFC 8894 3.3.1; RFC 5280 4.1.2.6",
    remedy="document which subjects and alternative names you take, and refuse others with "
    "badRequest (2)",
    needs=ISSUE,
)
def odd_subjects(probe: Probe) -> Verdict:
    """UTF-8, several values in one RDN, no subject, twenty names."""

    def verdict(what: str, subject: bytes, sans: tuple[str, ...] = ()) -> Verdict:
        requester = probe.requester(sans=sans)
        extensions = []
        if sans:
            names = x509.SubjectAlternativeName([x509.DNSName(one[4:]) for one in sans])
            extensions = [
                crafted.extension("2.5.29.17", names.public_bytes(), critical=subject == b"0\0")
            ]
        data = crafted.request_with(requester, subject=subject, extensions=extensions)
        answer = probe.enrol(requester, data=data, what=f"PKCSReq, {what}")
        if answer.success or answer.pending or answer.refused:
            return passed(answer.said)
        return failed(f"{answer.said}, expected SUCCESS or a refusal")

    unique = secrets.token_hex(3)
    one = _rdn((_CN, f"check-{unique}"))
    many = tuple(f"dns:h{number}-{unique}.check.test" for number in range(20))
    return together(
        [
            (
                "a subject in UTF-8",
                verdict("UTF-8", asn1.element(0x30, _rdn((_CN, f"прибор-ü-{unique}")))),
            ),
            (
                "an RDN with two values",
                verdict(
                    "two values",
                    asn1.element(0x30, _rdn((_CN, f"x-{unique}"), (_OU, "two")), _rdn((_O, "A"))),
                ),
            ),
            ("no subject, one name", verdict("no subject", b"0\0", many[:1])),
            ("twenty names", verdict("twenty names", asn1.element(0x30, one), many)),
        ]
    )


@check(
    "T66",
    Class.SECURITY,
    "a certificate request is refused that is not signed with the key in it",
    section="RFC 8894 7.4; RFC 2986 4.2",
    remedy="verify the signature of the PKCS #10 request with the key in it (proof of possession)",
    needs=ISSUE,
)
def proof_of_possession(probe: Probe) -> Verdict:
    """A broken signature; another key's."""
    why = "certificates can be had for keys of others"
    first = probe.requester()
    broken = crafted.request_with(first, broken=True)
    second = probe.requester()
    other = probe.session.keys.take()
    foreign = crafted.request_with(second, signed_by=other)
    codes = (BAD_MESSAGE_CHECK, BAD_REQUEST)
    return together(
        [
            (
                "a broken signature",
                must_refuse(
                    probe.enrol(first, data=broken, what="CSR with a broken signature"),
                    with_=codes,
                    why=why,
                ),
            ),
            (
                "signed by another key",
                must_refuse(
                    probe.enrol(second, data=foreign, what="CSR signed by another key"),
                    with_=codes,
                    why=why,
                ),
            ),
        ]
    )


@check(
    "T67",
    Class.SECURITY,
    "a first request is refused that is not signed with the key it asks a certificate for",
    section="RFC 8894 2.3, 3.3.1",
    remedy="in a PKCSReq signed with a self-signed certificate, require that its key is the "
    "request's: otherwise an envelope that was caught can be sent again by anybody",
    disputed="RFC 8894 2.3 says only that the keys SHOULD be the same",
    needs=ISSUE,
)
def signer_key(probe: Probe) -> Verdict:
    """Signer and request with different keys (A1, G1)."""
    requester = probe.requester()
    other = probe.requester(challenge=None)
    answer = probe.enrol(requester, signer=other.identity(), what="signed by another key")
    if answer.success:
        return warned(
            "SUCCESS: whoever catches a request can sign its envelope with a key of his own, and "
            "use up its challenge or probe its contents"
        )
    return must_refuse(answer, with_=(BAD_REQUEST, BAD_MESSAGE_CHECK))


_ANY_EKU, _CODE_SIGNING = "2.5.29.37.0", "1.3.6.1.5.5.7.3.3"
_SMARTCARD = "1.3.6.1.4.1.311.20.2.2"
_SID = "1.3.6.1.4.1.311.25.2"
_UPN = "1.3.6.1.4.1.311.20.2.3"
#: What Windows' domain controllers read as well since 2023.
_SID_URI = "tag:microsoft.com,2022-09-14:sid:"


def _eku(*oids: str) -> bytes:
    listed = asn1.element(asn1.SEQUENCE, *(asn1.oid_der(oid) for oid in oids))
    return crafted.extension("2.5.29.37", listed)


def _san(*names: x509.GeneralName) -> bytes:
    return crafted.extension("2.5.29.17", x509.SubjectAlternativeName(names).public_bytes())


#: What nobody may have for the asking.
_WISHES: dict[str, bytes] = {
    "basicConstraints CA:true": crafted.extension("2.5.29.19", b"0\x03\x01\x01\xff", critical=True),
    "keyUsage keyCertSign": crafted.extension("2.5.29.15", b"\x03\x02\x01\x06", critical=True),
    "EKU anyExtendedKeyUsage": _eku(_ANY_EKU),
    "EKU codeSigning": _eku(_CODE_SIGNING),
    "EKU smartcardLogon": _eku(_SMARTCARD),
    "a Windows SID": crafted.extension(_SID, asn1.element(asn1.SEQUENCE, b"\x04\x03abc")),
    "a Windows SID as a URI": _san(x509.UniformResourceIdentifier(f"{_SID_URI}S-1-5-21-1-2-3-500")),
    "another user's UPN": _san(
        x509.OtherName(x509.ObjectIdentifier(_UPN), asn1.element(_UTF8, b"admin@corp.example"))
    ),
    "a wildcard name": _san(x509.DNSName("*.example.com")),
}


def _granted(what: str, certificate: x509.Certificate) -> bool:
    """Whether a wish is in the certificate."""
    try:
        extensions = certificate.extensions
    except ValueError:
        return False
    for one in extensions:
        value = one.value
        if what.startswith("basicConstraints") and isinstance(value, x509.BasicConstraints):
            return value.ca
        if what.startswith("keyUsage") and isinstance(value, x509.KeyUsage):
            return value.key_cert_sign
        if what.startswith("EKU") and isinstance(value, x509.ExtendedKeyUsage):
            wanted = {"codeSigning": _CODE_SIGNING, "smartcardLogon": _SMARTCARD}
            oid = wanted.get(what[4:], _ANY_EKU)
            return any(purpose.dotted_string == oid for purpose in value)
        if what.startswith("a Windows") and one.oid.dotted_string == _SID:
            return True
        if isinstance(value, x509.SubjectAlternativeName):
            if what.startswith("another"):
                others = value.get_values_for_type(x509.OtherName)
                return any(other.type_id.dotted_string == _UPN for other in others)
            if what.endswith("URI"):
                uris = value.get_values_for_type(x509.UniformResourceIdentifier)
                return any(uri.startswith(_SID_URI) for uri in uris)
            if what.startswith("a wildcard"):
                return "*.example.com" in value.get_values_for_type(x509.DNSName)
    return False


@check(
    "T68",
    Class.SECURITY,
    "a certificate has nothing in it just because the request asked for it",
    section="RFC 5280 4.2; RFC 8894 7.4",
    remedy="build extensions from your own profile; copy only the kinds of names that the profile "
    "lists, and refuse or drop everything else",
    disputed="a server whose profile allows such names on purpose may waive this",
    needs=ISSUE,
)
def wishes(probe: Probe) -> Verdict:
    """CA:true, keyCertSign, dangerous EKUs, Windows' SID and UPN, wildcards (A8)."""

    def verdict(what: str, wanted: bytes) -> Verdict:
        requester = probe.requester()
        data = crafted.request_with(requester, extensions=[wanted])
        answer = probe.enrol(requester, data=data, what=f"CSR with {what}")
        if answer.pending:
            return passed("PENDING: held for a person")
        if not answer.success:
            return must_refuse(answer, with_=(BAD_REQUEST,))
        certificate = probe.certificate_in(answer, requester.key)
        if not _granted(what, certificate):
            return passed("issued without it")
        name = format_subject(certificate.subject)
        return failed(f"the certificate for {name!r} has it")

    return together((what, verdict(what, wanted)) for what, wanted in _WISHES.items())


def _rsa_spki(bits: int, exponent: int = 65537) -> bytes:
    """An RSA key whose modulus has this many bits, without a private key."""
    modulus = secrets.randbits(bits - 1) | 1 << (bits - 1) | 1
    inner = asn1.element(asn1.SEQUENCE, asn1.integer(modulus), asn1.integer(exponent))
    algorithm = asn1.algorithm("1.2.840.113549.1.1.1", asn1.NULL)
    return asn1.element(asn1.SEQUENCE, algorithm, asn1.element(0x03, b"\0", inner))


def _exponent_one(key: rsa.RSAPublicKey) -> bytes:
    modulus = asn1.integer(key.public_numbers().n)
    inner = asn1.element(asn1.SEQUENCE, modulus, asn1.integer(1))
    algorithm = asn1.algorithm("1.2.840.113549.1.1.1", asn1.NULL)
    return asn1.element(asn1.SEQUENCE, algorithm, asn1.element(0x03, b"\0", inner))


#: The most that a weak or monstrous key may cost the server, in seconds.
_QUICK = 5.0


@check(
    "T69",
    Class.SECURITY,
    "keys that are too weak, too large or of another kind are refused, and quickly",
    section="RFC 8894 7.6; NIST SP 800-57",
    remedy="take RSA from 2048 to 8192 bits with an odd public exponent from 65537, and EC from "
    "P-256; refuse all others with badAlg or badRequest, before any work with them",
    needs=ISSUE,
)
def weak_keys(probe: Probe) -> Verdict:
    """RSA-1024, RSA-512, e = 1, RSA-16384, P-192, DSA (A24)."""
    own = probe.requester(challenge=None).key
    keys: dict[str, bytes] = {
        "RSA-512": _rsa_spki(512),
        "RSA-16384": _rsa_spki(16384),
        "EC P-192": asn1.element(
            asn1.SEQUENCE,
            asn1.element(
                asn1.SEQUENCE,
                asn1.oid_der("1.2.840.10045.2.1"),
                asn1.oid_der("1.2.840.10045.3.1.1"),
            ),
            asn1.element(0x03, b"\0\x04", secrets.token_bytes(48)),
        ),
        "DSA": asn1.element(
            asn1.SEQUENCE,
            asn1.element(
                asn1.SEQUENCE,
                asn1.oid_der("1.2.840.10040.4.1"),
                asn1.element(
                    asn1.SEQUENCE,
                    asn1.integer(secrets.randbits(1024) | 1 << 1023 | 1),
                    asn1.integer(secrets.randbits(160) | 1 << 159 | 1),
                    asn1.integer(2),
                ),
            ),
            asn1.element(0x03, b"\0", asn1.integer(secrets.randbits(1023))),
        ),
    }
    if isinstance(own, rsa.RSAPrivateKey):
        keys["e = 1"] = _exponent_one(own.public_key())
    parts = [("RSA-1024", _weak_but_whole(probe))]
    for what, spki in keys.items():
        requester = probe.requester()
        data = crafted.request_with(requester, spki=spki)
        answer = probe.enrol(requester, data=data, what=f"CSR with {what}")
        parts.append((what, _refused_quickly(answer)))
    return together(parts)


def _weak_but_whole(probe: Probe) -> Verdict:
    """RSA-1024 with everything right: only the size can be the reason."""
    key = probe.shared("rsa1024", lambda: rsa.generate_private_key(65537, 1024))  # noqa: S505 - to be refused
    if not isinstance(key, rsa.RSAPrivateKey):
        return inconclusive("no key of 1024 bits can be made here")
    requester = probe.requester(key)
    try:
        answer = probe.enrol(requester, what="PKCSReq with RSA-1024")
    except ScepError as error:
        return inconclusive(f"no request can be made with it here: {error}")
    return _refused_quickly(answer)


def _refused_quickly(answer: Answer) -> Verdict:
    verdict = must_refuse(
        answer, with_=(BAD_ALG, BAD_REQUEST, BAD_MESSAGE_CHECK), why="the key protects nothing"
    )
    if answer.exchange.seconds > _QUICK:
        return failed(f"it took {answer.exchange.seconds:.1f} s: {answer.said}")
    return verdict
