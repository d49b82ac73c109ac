"""Keys and certificates in files: making, loading, writing.

The rules of this package: a loader either gives what was asked for or a `KeyLoadError` that says
what was found instead; a private key is never readable by anybody else, not even for a moment; a
file that is written is complete or not there, whatever happens in between.
"""

from __future__ import annotations

from scepkit.core.certificates import PrivateKey
from scepkit.keys.generating import KeySpec, generate_key, parse_key_spec
from scepkit.keys.loading import (
    load_certificates,
    load_csr,
    load_key,
    read_certificates_file,
    read_csr_file,
    read_file,
    read_key_file,
)
from scepkit.keys.writing import pem, private_key_pem, to_pkcs12, write_file, write_private_key

__all__ = [
    "KeySpec",
    "PrivateKey",
    "generate_key",
    "load_certificates",
    "load_csr",
    "load_key",
    "parse_key_spec",
    "pem",
    "private_key_pem",
    "read_certificates_file",
    "read_csr_file",
    "read_file",
    "read_key_file",
    "to_pkcs12",
    "write_file",
    "write_private_key",
]
