"""The text of a new ``scepkit.toml``.

The rule of this file: what the text says is what the server does, also where it is a comment.
"""

from __future__ import annotations

import json

from scepkit.server.plan import Plan

CONFIGURATION = "scepkit.toml"

_TEXT = """\
# The configuration of a SCEP server. Every setting is explained in docs/configuration.md;
#
#     scepkit check-config --config {name}     says what is wrong here, and what would happen
#     scepkit serve --config {name}            runs it
#
# Paths are relative to this file. A line that begins with # shows a default, or an example.

[server]
bind = {bind}
{public_url}
# workers = 0                # 0: one process for each processor

[database]
url = {database}
{database_password}
[secrets]
# One-time challenges are stored under this key: a copy of it belongs into every backup.
challenge_key_file = "keys/challenge.key"
{passphrase}
# The CA: it signs certificates and CRLs. `scepkit ca rollover` prepares its successor.
[ca.main]
key = "keys/main.key.pem"
certificate = "keys/main.pem"
{chain}# crl = {{ lifetime = "7d", overlap = "2d" }}
{ra}
# Served at /scep and /scep/default. Further profiles, each [profile.NAME], are at /scep/NAME.
[profile.default]
preset = {preset}            # generic, apple, windows, cisco or strict
{use_ra}# validity = "365d"
# subject = {{ attributes = ["CN", "serialNumber", "O"] }}
# san = {{ kinds = ["dns", "ip", "email", "uri"] }}

# Who may enrol. What nothing here allows is refused, or with manual = true waits for
# `scepkit requests approve`. An empty table lets a person decide about everything.
[profile.default.auth]
challenge = {{ ttl = "1h", uses = 1 }}      # from `scepkit challenge new`
# Whoever has a certificate gets its successor in the last half of its life; with
# {{ window = "300d" }} in its last 300 days.
renewal = {{}}
# manual = true
# webhook = {{ url = "https://mdm.example/scep", secret_file = "keys/webhook.key" }}
# program = {{ argv = ["/usr/local/bin/check-csr"] }}
"""

_PUBLIC_URL = """\
# Where the world reaches this server. Certificates say that their CRL is there.
{line}"""

_KEPT_WITH = """\
# What the private keys are encrypted with.{where}
{line}
"""
_BESIDE = """ To have it apart from them, keep it as a systemd
# credential called `passphrase`, or in SCEPKIT_PASSPHRASE, and remove this line and the file."""
_ELSEWHERE = """ It is a systemd credential called `passphrase`, or
# in SCEPKIT_PASSPHRASE, or `scepkit serve` asks for it; or it is in a file:"""

_RA = """
# The RA: it decrypts requests and signs replies in the CA's place.  `scepkit ra new` makes the
# next one; an old one can stay as a second [[ra.main.decrypt]] for requests under way.
[[ra.main.decrypt]]
key = "keys/ra.key.pem"
certificate = "keys/ra.pem"
"""
# The preset says "ca", which is what Apple's clients want of a CA that answers for itself.
_USE_RA = {False: 'ra = "main"\n', True: 'ra = "main"\nget_ca_cert = "ra"\n'}


def configuration(plan: Plan, *, with_chain: bool) -> str:
    """The text.

    :param with_chain: there is a file with the certificates above the CA's.
    """
    return _TEXT.format(
        name=CONFIGURATION,
        bind=_toml(plan.bind),
        public_url=_public_url(plan.public_url),
        database=_toml(plan.database),
        database_password=_database_password(plan),
        passphrase=_passphrase(plan.passphrase_file),
        chain='chain = "keys/main.chain.pem"\n' if with_chain else "",
        ra=_RA if plan.with_ra else "",
        preset=_toml(plan.preset),
        use_ra=_USE_RA[plan.preset == "apple"] if plan.with_ra else "",
    )


def _public_url(url: str) -> str:
    line = f"public_url = {_toml(url)}" if url else '# public_url = "http://ca.example"'
    return _PUBLIC_URL.format(line=line)


def _database_password(plan: Plan) -> str:
    if plan.database_password_file:
        return f"password_file = {_toml(plan.database_password_file)}\n"
    if plan.database.startswith("sqlite:"):
        return ""
    return '# password_file = "keys/database.password"\n'


def _passphrase(path: str) -> str:
    if path:
        where = _BESIDE if path.startswith("keys/") else ""
        return _KEPT_WITH.format(where=where, line=f"passphrase_file = {_toml(path)}")
    return _KEPT_WITH.format(where=_ELSEWHERE, line='# passphrase_file = "PATH"')


def _toml(text: str) -> str:
    """A text as a basic string of TOML, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
