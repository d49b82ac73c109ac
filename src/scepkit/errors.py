"""Every error scepkit raises, sorted by what the caller can do about it.

    ScepError
    ├── InputError             you asked for something impossible; also a ValueError
    ├── KeyLoadError           a key or certificate file is missing, locked or something else
    ├── TransportError         the server was not reached, or not in HTTP; retrying may help
    │   └── HttpStatusError    it was reached and answered with an HTTP error
    ├── TrustError             this is not the CA (or RA) we know
    ├── ProtocolError          the peer broke the rules
    │   ├── DecodeError        these bytes are not what they should be
    │   ├── AlgorithmError     an algorithm we refuse or do not know
    │   ├── SignatureError     not signed by whom it says
    │   ├── DecryptError       not for us (one text for every cause: no oracle)
    │   └── ReplyMismatchError a good message, but not the answer to our question
    ├── RequestRejectedError   the CA said no to a query (enrolments return `Rejected` instead)
    ├── NotSupportedError      this CA does not offer that operation
    ├── KeyUnavailable         a private key of the server (in a token) cannot be used now
    ├── ConfigError            a setting of the server is wrong: correct the file and start again
    │   └── ConfigErrors       all that is wrong with a configuration, at once
    └── StoreError             the server's database holds or was asked something that cannot be
        └── StoreUnavailable   it cannot be used now (down, locked, full); retrying later may help

Rules of this file: an error is raised once, where the fault is known, and carries its evidence as
attributes, so that nobody has to read the text by machine.  Texts are sentences without a capital
or a full stop.  No secret is ever part of one.  An attribute is set at construction and stays.
"""

from __future__ import annotations

from enum import IntEnum


class FailInfo(IntEnum):
    """Why a CA refused (RFC 8894 section 3.2.1.4)."""

    BAD_ALG = 0
    BAD_MESSAGE_CHECK = 1
    BAD_REQUEST = 2
    BAD_TIME = 3
    BAD_CERT_ID = 4

    @property
    def rfc_name(self) -> str:
        """The name in RFC 8894, such as ``badRequest``."""
        return _FAIL_INFO_NAMES[self]


_FAIL_INFO_NAMES = {
    FailInfo.BAD_ALG: "badAlg",
    FailInfo.BAD_MESSAGE_CHECK: "badMessageCheck",
    FailInfo.BAD_REQUEST: "badRequest",
    FailInfo.BAD_TIME: "badTime",
    FailInfo.BAD_CERT_ID: "badCertId",
}


class ScepError(Exception):
    """The root of all errors of this package.

    Attributes:
        hint: what to do next, as a sentence, or "" when there is nothing general to say.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Python would call the class with the message alone, which fails where more is required:
        # an error in a process pool would then break the pool.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[ScepError], args: tuple[object, ...], attributes: dict[str, object]
) -> ScepError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InputError(ScepError, ValueError):
    """An argument, option or file content given by the caller cannot be used."""


class KeyLoadError(ScepError):
    """A private key or certificate could not be loaded, or would be overwritten.

    Attributes:
        path: the file, or "" when it came from memory.
        reason: one of "password-needed", "password-wrong", "missing", "exists", "unusable".
    """

    def __init__(
        self, message: str, *, path: str = "", reason: str = "unusable", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.reason = reason


class TransportError(ScepError):
    """The server could not be asked, or its answer could not be read to the end.

    Attributes:
        url: the address asked, without the SCEP message.
        kind: one of "dns", "refused", "timeout", "tls", "proxy", "redirect", "too-large",
            "protocol", "closed", "status".
        retry_after: seconds the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        kind: str = "protocol",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.kind = kind
        self.retry_after = retry_after


class HttpStatusError(TransportError):
    """The server answered with an HTTP status that is not 200.

    Attributes:
        status: the HTTP status code.
        excerpt: the title of the page, or the first characters of a text body.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str = "",
        excerpt: str = "",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, url=url, kind="status", retry_after=retry_after, hint=hint)
        self.status = status
        self.excerpt = excerpt


class TrustError(ScepError):
    """A certificate is not one the caller said to trust.

    Attributes:
        fingerprints: SHA-256 fingerprints (lower-case hex) of the certificates that were offered.
    """

    def __init__(self, message: str, *, fingerprints: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.fingerprints = fingerprints


class ProtocolError(ScepError):
    """The peer sent something RFC 8894 does not allow.

    Attributes:
        fail_info: what a server should answer to it.
    """

    fail_info: FailInfo = FailInfo.BAD_REQUEST

    def __init__(self, message: str, *, fail_info: FailInfo | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        if fail_info is not None:
            self.fail_info = fail_info


class DecodeError(ProtocolError):
    """Bytes that do not have the form they should have.

    Attributes:
        offset: where in the input, in bytes, or None when that is not known.
        title: the title of the HTML page that came instead, or "".
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        title: str = "",
        fail_info: FailInfo | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, fail_info=fail_info, hint=hint)
        self.offset = offset
        self.title = title


class AlgorithmError(ProtocolError):
    """An algorithm that is refused (single DES, MD5) or unknown.

    Attributes:
        algorithm: its name, or its dotted OID when it has none here.
    """

    fail_info = FailInfo.BAD_ALG

    def __init__(self, message: str, *, algorithm: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.algorithm = algorithm


class SignatureError(ProtocolError):
    """A signature is missing, broken, or made by someone who may not make it.

    Attributes:
        signer: who signed, as far as the message says (RFC 4514 name or key identifier), or "".
    """

    fail_info = FailInfo.BAD_MESSAGE_CHECK

    def __init__(self, message: str, *, signer: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signer = signer


class DecryptError(ProtocolError):
    """The content could not be decrypted with our key.

    Wrong key, wrong padding, damaged ciphertext and wrong password all read the same, because the
    difference is an oracle (attacks on PKCS#1 v1.5 and CBC padding).
    """

    fail_info = FailInfo.BAD_MESSAGE_CHECK


class ReplyMismatchError(ProtocolError):
    """A reply that does not belong to the request it came for.

    Attributes:
        field: the attribute that is wrong, by its RFC 8894 name.
        expected: what it had to be.
        found: what it was, or None when it was missing.
    """

    def __init__(
        self, message: str, *, field: str, expected: str, found: str | None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.field = field
        self.expected = expected
        self.found = found


class RequestRejectedError(ScepError):
    """The CA answered a query (GetCert, GetCRL) with FAILURE.

    Attributes:
        fail_info: the reason; a plain int when it is not one of RFC 8894's five, None when the CA
            gave none.
        fail_info_text: the CA's own words, or "".
        transaction_id: the transactionID of the exchange.
    """

    def __init__(
        self,
        message: str,
        *,
        fail_info: FailInfo | int | None,
        fail_info_text: str = "",
        transaction_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.fail_info = fail_info
        self.fail_info_text = fail_info_text
        self.transaction_id = transaction_id


class NotSupportedError(ScepError):
    """The CA does not offer the operation.

    Attributes:
        operation: its RFC 8894 name, such as ``GetNextCACert``.
    """

    def __init__(self, message: str, *, operation: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.operation = operation


class KeyUnavailable(ScepError):
    """A private key cannot be used at this moment: its token is away, locked or overloaded.

    Nothing was lost; retrying later may help.
    """


class ConfigError(ScepError):
    """A setting cannot be used.

    Attributes:
        path: where it is, such as ``profile.routers.auth.challenge.ttl``, or "" for the whole.
        problem: what is wrong with it: what was expected and what was found.
    """

    def __init__(self, problem: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem, hint=hint)
        self.path = path
        self.problem = problem


class ConfigErrors(ConfigError):
    """All that is wrong with a configuration; it has a line for each.

    Attributes:
        errors: each of them, at least one, in the order of the file.
    """

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors
        if len(errors) == 1:
            self.path, self.problem, self.hint = errors[0].path, errors[0].problem, errors[0].hint


class StoreError(ScepError):
    """The database refuses what was asked, or does not fit this version; nothing was changed.

    A schema that is newer than this program, a damaged file, a restore into a database that is not
    empty, a constraint that was broken: retrying does not help.
    """


class StoreUnavailable(StoreError):
    """The database cannot be used at this moment: down, locked, full or too slow.

    The transaction was rolled back, or, where the connection was lost while it was being committed,
    may have been committed: every transaction of the server can be run again.
    """
