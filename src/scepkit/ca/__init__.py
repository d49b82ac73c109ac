"""A certificate authority without HTTP, database or clock.

`profile` says what certificates may contain, `template` measures a request against that,
`authority` signs certificates and CRLs (`tbs` and `crl` encode them), `hierarchy` makes CAs and
RAs, and finds the CAs above one.  Serial numbers, CRL numbers and the time are arguments, so that
whoever calls can make them durable first.
"""

from scepkit.ca.altnames import AltNameRules
from scepkit.ca.authority import CaIssuer
from scepkit.ca.crl import CrlEntries, Revocation, crl_entries, encoded_entries, entry_extensions
from scepkit.ca.hierarchy import (
    chain_above,
    make_ca,
    make_intermediate,
    make_ra_certificate,
)
from scepkit.ca.keys import CertifiableKey, KeyRules
from scepkit.ca.profile import CertificateProfile
from scepkit.ca.template import CertificateTemplate, ProfileRefusal, template_for

__all__ = [
    "AltNameRules",
    "CaIssuer",
    "CertifiableKey",
    "CertificateProfile",
    "CertificateTemplate",
    "CrlEntries",
    "KeyRules",
    "ProfileRefusal",
    "Revocation",
    "chain_above",
    "crl_entries",
    "encoded_entries",
    "entry_extensions",
    "make_ca",
    "make_intermediate",
    "make_ra_certificate",
    "template_for",
]
