"""Defaults of profiles for kinds of clients: what ``preset = "windows"`` stands for.

The rule of this file: a preset holds settings in the form of the file, so that what it does can be
written out; a profile's own settings stand above it.  Why each is there is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

PRESETS: dict[str, Mapping[str, object]] = {
    # RFC 8894 with what most clients ask for.
    "generic": {},
    # Q20, Q24: Apple wants one certificate from GetCACert, and its clients renew by enrolling anew.
    "apple": {
        "get_ca_cert": "ca",
        "san": {"kinds": ["dns", "email", "uri", "upn"], "unlisted": "drop"},
    },
    # Q31: clocks up to nine hours behind while Windows is set up; Q26: OAEP is always accepted.
    "windows": {
        "backdate": "24h",
        "san": {"kinds": ["dns", "email", "uri", "upn"]},
        "extended_key_usage": ["clientAuth"],
    },
    # IOS asks for names of the router in attributes of its own; both ends of a tunnel are servers.
    "cisco": {
        "san": {"kinds": ["dns", "ip", "email"], "unlisted": "drop"},
        "extended_key_usage": ["clientAuth", "serverAuth", "ipsecIKE"],
    },
    # What RFC 8894 requires and nothing that it merely allows for old clients.
    "strict": {
        "validity": "90d",
        "backdate": "5m",
        "accept_3des": False,
        "accept_sha1": False,
        "keys": {"rsa_min": 3072},
        "san": {"kinds": ["dns"]},
        "rate_limit": {"per_address": "20/s"},
    },
}
