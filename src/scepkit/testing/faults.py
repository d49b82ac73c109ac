"""The faults a test CA can have, by name: what it does wrong, and what a right client makes of it.

The rule of this file: it is a table.  How a fault is made is said in `http_faults` (the answer on
its way), `reply_faults` (the CertRep) and `desk` (the decision).
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from scepkit.errors import InputError

#: How the operation ends for a right client: it succeeds; an error is raised; the enrolment is
#: rejected; it stays pending.
Ending = Literal["works", "refused", "rejected", "pending"]
#: The client operation that shows the fault.  "refresh" is asking for certificates and
#: capabilities once more, "wait" is polling until the CA decides.
Operation = Literal["enrol", "wait", "refresh", "next-ca", "certificate", "crl"]

_WORST = "assumes no capability at all: GET, 3DES and SHA-1, but never single DES or MD5"
_NOT_HIS = "refuses: only the CA and RA certificates it authenticated may sign replies"
_NOT_MINE = "refuses: the reply is not the answer to its request"
_BROKEN = "refuses: nothing in an unverified message may be believed"
_NO_ANSWER = "reports it and may ask again later; the same request must not fund two certificates"
_WARNS = "takes it, since it cannot know better, and tells its user"


class Fault(Enum):
    """One thing a SCEP server can do wrong, or oddly.

    `plain_name` is the name to use on a command line, `does` says what the server does, `right`
    what a right client does, and `operation` and `ends` say the same to a program: a right client
    that performs `operation` ends in `ends`.

        >>> Fault.named("caps-html").right.split(":")[0]
        'assumes no capability at all'
    """

    # GetCACaps
    CAPS_404 = ("caps-404", "GetCACaps is answered 404", _WORST, "works")
    CAPS_500 = ("caps-500", "GetCACaps is answered 500", _WORST, "works")
    CAPS_EMPTY = ("caps-empty", "GetCACaps has an empty answer", _WORST, "works")
    CAPS_HTML = (
        "caps-html",
        "GetCACaps is answered with a web page and status 200",
        _WORST,
        "works",
    )
    CAPS_CLOSED = ("caps-closed", "GetCACaps ends with a closed connection", _WORST, "works")
    CAPS_MIXED_CASE = (
        "caps-mixed-case",
        "capabilities are written aes, Sha-256, PostPKIOperation",
        "compares without regard to case",
        "works",
    )
    CAPS_CR_ONLY = (
        "caps-cr-only",
        "capabilities are separated by CR alone, with trailing blanks",
        "reads them all the same",
        "works",
    )
    CAPS_UNKNOWN_WORDS = (
        "caps-unknown-words",
        "capabilities nobody knows stand among the known ones",
        "ignores them",
        "works",
    )
    CAPS_DOWNGRADE = (
        "caps-downgrade",
        "GetCACaps announces everything the first time, and only DES3 and SHA-1 from then on",
        "remembers what was announced before and treats this as an attack",
        "refused",
        "refresh",
    )
    ONLY_3DES = (
        "3des-only",
        "the server knows 3DES and SHA-1 only, and GET",
        "uses just that",
        "works",
    )

    # GetCACert
    CA_CERT_404 = ("ca-cert-404", "GetCACert is answered 404", "stops and shows the status")
    CA_CERT_HTML = (
        "ca-cert-html",
        "GetCACert is answered with a web page and status 200",
        "stops and shows the page's title",
    )
    CA_CERT_EMPTY = ("ca-cert-empty", "GetCACert has an empty answer", "stops")
    CA_CERT_PEM = ("ca-cert-pem", "GetCACert sends PEM", "reads it", "works")
    CA_CERT_WRONG_TYPE = (
        "ca-cert-wrong-type",
        "GetCACert names a certificate a bundle and a bundle a certificate",
        "looks at the bytes, not at the Content-Type",
        "works",
    )
    CA_CERT_OTHER_CA = (
        "ca-cert-other-ca",
        "GetCACert sends a CA of the same name with another key",
        "stops before it sends anything: the fingerprint is wrong",
    )
    CA_CERT_STRANGER = (
        "ca-cert-stranger",
        "an unrelated CA certificate stands first among those of GetCACert",
        "ignores it, as it does not hang below the trusted one",
        "works",
    )
    CA_CERT_DEVICE = (
        "ca-cert-device",
        "somebody on the way adds a device's certificate of the same CA to GetCACert",
        "does not take it for the RA: it neither encrypts to it nor believes its signatures",
        "works",
    )
    CA_CERT_EXPIRED_INTERMEDIATE = (
        "ca-cert-expired-intermediate",
        "the intermediate in GetCACert has expired (needs intermediate=True)",
        "stops (RFC 8894 section 2.2)",
    )
    CA_CERT_ROOT_ONLY = (
        "ca-cert-root-only",
        "GetCACert leaves the intermediate out (needs intermediate=True)",
        "refuses the reply, since its signer was never authenticated",
    )

    # The way there and back
    POST_405 = ("post-405", "POST is announced and answered 405", "falls back to GET", "works")
    HTTP_404 = ("http-404", "PKIOperation is answered 404", "reports status and text of the page")
    HTTP_500 = ("http-500", "PKIOperation is answered 500 with a stack trace", _NO_ANSWER)
    BUSY = ("busy", "PKIOperation is answered 503 with Retry-After: 7", "honours the header")
    CLOSED = ("closed", "PKIOperation ends with a closed connection", _NO_ANSWER)
    RESET = ("reset", "PKIOperation ends with a reset connection", _NO_ANSWER)
    REPLY_TRUNCATED = ("reply-truncated", "half of the announced reply comes", _NO_ANSWER)
    REPLY_SLOW = ("reply-slow", "the reply comes a byte a second", "gives up after its timeout")
    REPLY_EMPTY = ("reply-empty", "status 200 and an empty body", _NO_ANSWER)
    REPLY_GARBAGE = ("reply-garbage", "status 200 and random bytes", _NO_ANSWER)
    REPLY_50MB = ("reply-50mb", "the reply has 50 megabytes", "stops reading at its limit")
    REPLY_WRONG_TYPE = (
        "reply-wrong-type",
        "the reply is labelled text/plain",
        "looks at the bytes, not at the Content-Type",
        "works",
    )
    GZIP = ("gzip", "answers are gzipped though nobody asked", "unpacks within its limit", "works")
    LOGIN_PAGE_200 = (
        "login-page-200",
        "PKIOperation is answered by a captive portal's page and status 200",
        "says that a web page came, and shows its title",
    )
    REDIRECT_OTHER_HOST = (
        "redirect-other-host",
        "PKIOperation is redirected to another host",
        "sends its message to no address but the configured one",
    )
    REDIRECT_TO_HTTP = (
        "redirect-to-http",
        "GetCACert is redirected to the same URL without TLS (a loop when there is none)",
        "does not leave TLS, and does not follow for ever",
    )

    # Whose reply it is
    REPLY_UNSIGNED = ("reply-unsigned", "the reply has no signature", _BROKEN)
    SIGNATURE_BROKEN = ("signature-broken", "one bit of the signature is wrong", _BROKEN)
    SIGNATURE_BROKEN_AND_NO_CERTIFICATES = (
        "signature-broken-and-no-certificates",
        "the signature is wrong and the reply holds no certificate to check it with",
        "checks it with the certificate it authenticated, and refuses",
    )
    NO_CERTIFICATES = (
        "no-certificates",
        "the reply is signed but holds no certificate",
        "checks it with the certificate it authenticated",
        "works",
    )
    SIGNER_UNKNOWN = (
        "signer-unknown",
        "a stranger signs the reply, certificate included",
        _NOT_HIS,
    )
    SIGNER_EXPIRED = (
        "signer-expired",
        "an RA certificate that has expired is in GetCACert and signs the reply",
        "refuses",
    )
    SIGNER_IS_END_ENTITY = (
        "signer-is-end-entity",
        "a device with a certificate of the same CA signs the reply",
        _NOT_HIS,
    )
    SIGNER_IS_OFFERED_DEVICE = (
        "signer-is-offered-device",
        "the same, and somebody added the device's certificate to GetCACert",
        _NOT_HIS,
    )
    SIGNER_COPIES_ISSUER_AND_SERIAL = (
        "signer-copies-issuer-and-serial",
        "a stranger signs with a certificate that copies the CA's issuer and serial number",
        "checks with the key it authenticated, not with the certificate in the message",
    )
    TWO_SIGNERS = ("two-signers", "a stranger's signature stands beside the CA's", "refuses")
    ATTRIBUTES_ONLY_UNSIGNED = (
        "attributes-only-unsigned",
        "transactionID, nonces and pkiStatus are unsigned attributes",
        "counts only what is signed, and refuses",
    )
    ATTRIBUTE_TWICE = (
        "attribute-twice",
        "pkiStatus is there twice, FAILURE and SUCCESS",
        "refuses",
    )

    # What the reply belongs to
    RECIPIENT_NONCE_WRONG = ("recipient-nonce-wrong", "recipientNonce is another one", _NOT_MINE)
    NONCE_MISSING = ("nonce-missing", "there is no recipientNonce", _NOT_MINE)
    NONCE_EMPTY = ("nonce-empty", "recipientNonce has no bytes", _NOT_MINE)
    TRANSACTION_ID_WRONG = ("transaction-id-wrong", "transactionID is another one", _NOT_MINE)
    TRANSACTION_ID_MISSING = ("transaction-id-missing", "there is no transactionID", _NOT_MINE)
    MESSAGE_TYPE_WRONG = ("message-type-wrong", "messageType is PKCSReq", _NOT_MINE)
    MESSAGE_TYPE_MISSING = ("message-type-missing", "there is no messageType", _NOT_MINE)
    SENDER_NONCE_MISSING = (
        "sender-nonce-missing",
        "the reply has no senderNonce (so has RFC 8894's own example)",
        "does not need it",
        "works",
    )
    SENDER_NONCE_COPIED = (
        "sender-nonce-copied",
        "the reply's senderNonce is the request's (step-ca does this)",
        "does not mind",
        "works",
    )

    # What the reply says
    PKI_STATUS_MISSING = ("pki-status-missing", "there is no pkiStatus", "refuses")
    PKI_STATUS_1 = ("pki-status-1", "pkiStatus is 1, which does not exist", "refuses")
    SUCCESS_WITHOUT_ENVELOPE = (
        "success-without-envelope",
        "SUCCESS, and no pkcsPKIEnvelope",
        "refuses",
    )
    SUCCESS_WITHOUT_CERTIFICATES = (
        "success-without-certificates",
        "SUCCESS, and no certificate in the pkcsPKIEnvelope",
        "refuses",
    )
    EXTRA_ATTRIBUTES = (
        "extra-attributes",
        "signed attributes nobody knows (so has RFC 8894's own example)",
        "ignores them",
        "works",
    )
    ATTRIBUTES_AS_UTF8 = (
        "attributes-as-utf8",
        "transactionID, messageType and pkiStatus are UTF8Strings",
        "reads any kind of string",
        "works",
    )
    ATTRIBUTES_UNSORTED = (
        "attributes-unsorted",
        "the signed attributes are not in DER's order, and the signature is over the order sent",
        "checks it over the order sent",
        "works",
    )
    BER_REPLY = (
        "ber-reply",
        "indefinite lengths and strings in pieces, as Java sends them",
        "reads BER",
        "works",
    )
    OAEP_REPLY = ("oaep-reply", "the content key comes by RSA-OAEP", "decrypts it", "works")
    DES_REPLY = (
        "des-reply",
        "the content is encrypted with single DES (step-ca's default)",
        "refuses",
    )
    MD5_REPLY = ("md5-reply", "the reply is signed with MD5", "refuses")
    GCM_REPLY = (
        "gcm-reply",
        "the content is encrypted with AES-GCM in an EnvelopedData (an option of step-ca)",
        "refuses, and names the algorithm",
    )

    # The certificate
    ISSUED_FOR_OTHER_KEY = (
        "issued-for-other-key",
        "the certificate is for another key",
        "refuses: it is not the certificate it asked for",
    )
    ISSUED_BY_OTHER_CA = (
        "issued-by-other-ca",
        "the certificate is for the right key, by a CA nobody knows",
        "refuses: it does not hang below the trusted CA",
    )
    ISSUED_OTHER_SUBJECT = ("issued-other-subject", "the subject is another one", _WARNS, "works")
    ISSUED_IN_THE_FUTURE = (
        "issued-in-the-future",
        "the certificate is valid from the day after tomorrow",
        _WARNS,
        "works",
    )
    ISSUED_EXPIRED = ("issued-expired", "the certificate expired yesterday", _WARNS, "works")
    CLOCK_AHEAD = (
        "clock-ahead",
        "the server's clock is nine hours ahead: signingTime and certificate are of the future",
        "does not trust clocks, takes it, and tells its user that it is not valid yet",
        "works",
    )
    LEAF_LAST = (
        "leaf-last",
        "the issued certificate comes after the CA's",
        "finds it by its key",
        "works",
    )
    CHAIN_IN_REPLY = ("chain-in-reply", "the CA's chain comes too", "finds its own by key", "works")

    # FAILURE
    EMPTY_ECONTENT_IN_FAILURE = (
        "empty-econtent-in-failure",
        "a FAILURE with an empty content instead of none",
        "takes it for the refusal it is",
        "rejected",
    )
    FAILURE_WITHOUT_FAIL_INFO = (
        "failure-without-fail-info",
        "a FAILURE that gives no failInfo",
        "takes it for a refusal without a reason",
        "rejected",
    )
    FAIL_INFO_7 = (
        "fail-info-7",
        "a FAILURE with failInfo 7, which RFC 8894 does not have (Dogtag goes to 12)",
        "takes it for a refusal, and keeps the number",
        "rejected",
    )

    # PENDING
    PENDING_FOREVER = (
        "pending-forever",
        "every answer is PENDING",
        "stops at its limit and keeps what it needs to ask again",
        "pending",
        "wait",
    )
    PENDING_THEN_FAILURE = (
        "pending-then-failure",
        "PENDING first, FAILURE at the first poll",
        "takes it for a refusal",
        "rejected",
        "wait",
    )
    PENDING_THEN_RESET = (
        "pending-then-reset",
        "PENDING first; the connection of the first poll is reset, the second is answered",
        "polls again",
        "works",
        "wait",
    )
    RETRY_AFTER = (
        "retry-after",
        "PENDING with Retry-After: 7, then SUCCESS",
        "waits as long as it is asked to",
        "works",
        "wait",
    )

    # Queries
    QUERY_PENDING = ("query-pending", "GetCRL is answered PENDING", "refuses", "refused", "crl")
    CRL_MISSING = ("crl-missing", "SUCCESS to GetCRL without a CRL", "refuses", "refused", "crl")
    CRL_BY_OTHER_CA = (
        "crl-by-other-ca",
        "the CRL has the CA's name and a stranger's signature",
        "checks the CRL's own signature, and refuses",
        "refused",
        "crl",
    )
    CRL_DELTA = (
        "crl-delta",
        "a delta CRL in place of a complete one",
        "refuses: it has only what is new since another CRL",
        "refused",
        "crl",
    )
    CRL_OUT_OF_DATE = (
        "crl-out-of-date",
        "the CRL's nextUpdate has passed",
        "takes it, and warns",
        "works",
        "crl",
    )
    OTHER_CERTIFICATE = (
        "other-certificate",
        "GetCert is answered with another certificate of the CA",
        "refuses: the serial number is not the one it asked for",
        "refused",
        "certificate",
    )

    # GetNextCACert
    NEXT_CA_UNSIGNED = (
        "next-ca-unsigned",
        "the next CA certificate comes in a bundle without a signature",
        "refuses",
        "refused",
        "next-ca",
    )
    NEXT_CA_SIGNED_BY_WRONG_KEY = (
        "next-ca-signed-by-wrong-key",
        "a stranger signs the next CA certificate",
        "refuses: only the present CA may introduce the next one",
        "refused",
        "next-ca",
    )
    NEXT_CA_SIGNED_BY_NEXT_CA = (
        "next-ca-signed-by-next-ca",
        "the next CA introduces itself",
        "refuses: only the present CA may introduce the next one",
        "refused",
        "next-ca",
    )
    NEXT_CA_BESIDE_THE_CONTENT = (
        "next-ca-beside-the-content",
        "the certificate stands beside what is signed (jscep's form)",
        "refuses, or asks its user: the signature says nothing about it",
        "refused",
        "next-ca",
    )

    def __init__(
        self,
        plain_name: str,
        does: str,
        right: str,
        ends: Ending = "refused",
        operation: Operation = "enrol",
    ) -> None:
        self.plain_name = plain_name
        self.does = does
        self.right = right
        self.ends: Ending = ends
        self.operation: Operation = operation

    def __repr__(self) -> str:
        return f"<Fault {self.plain_name}>"

    @classmethod
    def named(cls, plain_name: str) -> Fault:
        """The fault with this plain name.

        :raises InputError: there is none; the message names those that come near.
        """
        for fault in cls:
            if fault.plain_name == plain_name:
                return fault
        from difflib import get_close_matches

        near = get_close_matches(plain_name, [fault.plain_name for fault in cls], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "Fault lists them all"
        raise InputError(f"there is no fault {plain_name!r}", hint=hint)

    @property
    def needs_intermediate(self) -> bool:
        """Whether only a CA made with ``intermediate=True`` can have it."""
        return self in {Fault.CA_CERT_EXPIRED_INTERMEDIATE, Fault.CA_CERT_ROOT_ONLY}
