"""The library's public interface: what `scepkit` exports, and that it costs nothing until used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scepkit

TREE = ast.parse(Path(scepkit.__file__).read_text("utf-8"))


def names_for_type_checkers() -> set[str]:
    """What ``if TYPE_CHECKING:`` imports."""
    (block,) = (
        node
        for node in TREE.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def names_of_the_table() -> set[str]:
    """What is loaded on first use."""
    return {name for names in scepkit._HOMES.values() for name in names}


def test_these_names_are_exported() -> None:
    # The public interface: a name goes in or out of it on purpose only.
    assert set(scepkit.__all__) == {
        "AcceptIf",
        "AlgorithmError",
        "AskOnConsole",
        "AsyncClient",
        "AsyncTransport",
        "CaCertificates",
        "CaOffer",
        "CaVerifier",
        "Caching",
        "Capabilities",
        "Capability",
        "Cipher",
        "Client",
        "DecodeError",
        "DecryptError",
        "Digest",
        "EnrolmentResult",
        "FailInfo",
        "Fingerprint",
        "HttpOptions",
        "HttpRequest",
        "HttpResponse",
        "HttpStatusError",
        "HttpTransport",
        "InputError",
        "InsecureTrustOnFirstUse",
        "Issued",
        "KeyLoadError",
        "KeyTransport",
        "NotSupportedError",
        "Pending",
        "PinnedCertificate",
        "PollPolicy",
        "Preferences",
        "ProtocolError",
        "Rejected",
        "ReplyMismatchError",
        "RequestRejectedError",
        "Requester",
        "ScepError",
        "SignatureError",
        "Transport",
        "TransportError",
        "TrustError",
        "__version__",
        "build_csr",
        "generate_key",
        "load_certificates",
        "load_key",
        "read_key_file",
        "renewal_csr",
        "self_signed_requester",
        "to_pkcs12",
        "write_private_key",
    }


def test_exported_names_are_the_same_at_run_time_and_for_type_checkers() -> None:
    exported = set(scepkit.__all__) - {"__version__"}
    assert exported == names_of_the_table() == names_for_type_checkers()
    assert len(scepkit.__all__) == len(exported) + 1
    assert dir(scepkit) == sorted(scepkit.__all__)


@pytest.mark.parametrize("name", scepkit.__all__)
def test_exported_name_is_there(name: str) -> None:
    found = getattr(scepkit, name)
    # A class or function of ours says where it lives; an alias of a union does not.
    assert getattr(found, "__module__", "scepkit").startswith(("scepkit", "types", "typing"))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'enroll'"):
        scepkit.enroll  # noqa: B018 - the access is the test


def test_importing_scepkit_loads_nothing_of_ours_and_nothing_foreign() -> None:
    script = (
        "import sys; before = set(sys.modules); import scepkit;"
        "loaded = set(sys.modules) - before;"
        "print(*(one for one in loaded if one.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"scepkit"]
