"""The options that several commands share, by section of the help.

The rule of this file: an option means the same in every command that has it.
"""

from __future__ import annotations

import click

from scepkit.cli.command import AnyCase, option, together

CIPHERS = ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"]
DIGESTS = ["sha1", "sha256", "sha384", "sha512"]
MESSAGE_TYPES = ["PKCSReq", "RenewalReq"]
CAPABILITIES = [
    "AES", "DES3", "GetNextCACert", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-256", "SHA-384",
    "SHA-512", "SCEPStandard",
]  # fmt: skip

TRUST = "Trust (one of these, or scepkit asks at the terminal)"
_REQUEST = "Request"
_CHALLENGE = "Challenge"
_KEY = "Key"
_PROTOCOL = "Protocol"
_HTTP = "HTTP"
_FILES = "Files"
_WAITING = "Waiting"

request_options = together(
    option("--subject", metavar="NAME", section=_REQUEST,
           help="The subject, as CN=router1,O=Acme (RFC 4514: the most specific part first) or "
                "/O=Acme/CN=router1."),
    option("--san", "san", metavar="NAME", multiple=True, section=_REQUEST,
           help="An alternative name: dns:, ip:, email:, uri:, upn:, dirname:, rid: or "
                "othername: and the name. As often as needed."),
    option("--eku", "eku", metavar="NAME", multiple=True, section=_REQUEST,
           help="An extended key usage: clientAuth, serverAuth, eapOverLAN, ... or an OID. As "
                "often as needed."),
    option("--key-usage", metavar="NAMES", section=_REQUEST,
           help="The key usage, as digitalSignature,keyEncipherment."),
    option("--extension", "extensions", metavar="OID:[critical:]HEX", multiple=True,
           section=_REQUEST,
           help="Any other extension, its value in DER as hex digits. As often as needed."),
    option("--csr", metavar="FILE", section=_REQUEST,
           help="Send this certificate request (PKCS #10) instead of making one; needs --key. "
                "`-` is stdin."),
)  # fmt: skip

profile_option = option(
    "--profile", metavar="NAME", section=_PROTOCOL,
    help="The CA or profile to ask for, where a server has several (`message=` of GetCACert).",
)  # fmt: skip

require_option = option(
    "--require", metavar="CAPABILITY", multiple=True,
    type=AnyCase(CAPABILITIES), section=_PROTOCOL,
    help="Send nothing unless the CA announces this, such as AES or SCEPStandard. As often as "
         "needed.",
)  # fmt: skip

trust_options = together(
    option("--ca-fingerprint", metavar="ALGORITHM:HEX", section=TRUST,
           help="Trust the CA whose certificate has this fingerprint: sha256, sha512 or sha1. "
                "Colons and case do not matter."),
    option("--ca-cert", metavar="FILE", section=TRUST,
           help="Trust the CA certificates in FILE."),
    option("--insecure-trust-on-first-use", is_flag=True, section=TRUST,
           help="Trust whoever answers. Anyone on the path can then be your CA and read your "
                "challenge."),
    option("--ra-cert", "ra_certs", metavar="FILE", multiple=True, section=TRUST,
           help="Of what the server offers, take only the certificates in FILE as its RA's; for "
                "an RA whose certificate does not say that it is one."),
    option("--no-ra", is_flag=True, section=TRUST,
           help="The CA has no RA: take none of what the server offers for one."),
)  # fmt: skip

protocol_options = together(
    profile_option,
    require_option,
    option("--cipher", type=click.Choice(CIPHERS), section=_PROTOCOL,
           help="Encrypt with this cipher. Default: AES-128, or 3DES where the CA has no AES."),
    option("--digest", type=click.Choice(DIGESTS), section=_PROTOCOL,
           help="Sign with this digest. Default: SHA-256, or what the CA has."),
    option("--oaep", metavar="DIGEST", type=click.Choice(DIGESTS), section=_PROTOCOL,
           help="Encrypt the content key with RSA-OAEP and this digest (sha1, sha256, sha384 or "
                "sha512) instead of RSA PKCS #1 v1.5."),
    option("--accept-legacy-replies", is_flag=True, section=_PROTOCOL,
           help="Read replies in single DES or signed with MD5. Some servers know nothing else; "
                "requests never use either."),
)  # fmt: skip

http_options = together(
    option("--get", "force_get", is_flag=True, section=_HTTP,
           help="Send messages with GET even if the CA announces POST."),
    option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0,
           show_default=True, metavar="SECONDS", section=_HTTP,
           help="Give up on one HTTP exchange after this long."),
    option("--proxy", metavar="URL", section=_HTTP,
           help="Use this proxy instead of HTTP_PROXY and HTTPS_PROXY; `direct` for none."),
    option("--tls-ca", metavar="FILE", section=_HTTP,
           help="Verify an https server with the CA certificates in FILE. This does not make "
                "any of them the SCEP CA."),
    option("--tls-cert", metavar="FILE", section=_HTTP,
           help="Present this certificate to an https server."),
    option("--tls-key", metavar="FILE", section=_HTTP,
           help="The key of --tls-cert, when it is not in the same file."),
    option("--tls-key-password-file", metavar="FILE", section=_HTTP,
           help="The password of that key, when it is encrypted; `-` is stdin. "
                "SCEPKIT_TLS_KEY_PASSWORD can hold it too. Otherwise scepkit asks at the "
                "terminal."),
    option("--tls-host-name", metavar="NAME", section=_HTTP,
           help="The name the https server's certificate must have, instead of the URL's."),
    option("--basic-auth-file", metavar="FILE", section=_HTTP,
           help="Log in to the HTTP server with the user:password in FILE; `-` is stdin."),
)  # fmt: skip

challenge_options = together(
    option("--challenge-file", metavar="FILE", section=_CHALLENGE,
           help="Send the challengePassword in FILE; `-` is stdin. SCEPKIT_CHALLENGE can hold "
                "it too."),
    option("--challenge", metavar="TEXT", environment=False, section=_CHALLENGE,
           help="Send TEXT as challengePassword. Everyone on this machine can see it with `ps`."),
    option("--ask-challenge", is_flag=True, section=_CHALLENGE,
           help="Ask for the challengePassword at the terminal."),
)  # fmt: skip

key_password_option = option(
    "--key-password-file", metavar="FILE", section=_KEY,
    help="The password of an encrypted key; `-` is stdin. SCEPKIT_KEY_PASSWORD can hold it too. "
         "Otherwise scepkit asks at the terminal.",
)  # fmt: skip

new_key_password_option = option(
    "--new-key-password-file", metavar="FILE", section=_KEY,
    help="Encrypt a key that is made here with the password in FILE; `-` is stdin. "
         "SCEPKIT_NEW_KEY_PASSWORD can hold it too. Default: that of --key-password-file; in a "
         "renewal that of the old key, if it has one.",
)  # fmt: skip

key_type_option = option(
    "--key-type", metavar="TYPE", section=_KEY,
    help="Make a key of this type: rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384 or ec:p521.",
)  # fmt: skip

message_type_option = option(
    "--message-type", type=click.Choice(MESSAGE_TYPES), section=_PROTOCOL,
    help="How to ask with an existing certificate. Default: RenewalReq where the CA announces "
         "Renewal, else PKCSReq.",
)  # fmt: skip

signer_options = together(
    option("--signer-cert", metavar="FILE", section="Signer",
           help="Sign as the owner of this certificate instead of with a self-signed one. More "
                "certificates in FILE are sent along as its chain."),
    option("--signer-key", metavar="FILE", section="Signer",
           help="The key of --signer-cert, when it is not in the same file."),
)  # fmt: skip

p12_password_option = option(
    "--p12-password-file", metavar="FILE", section=_FILES,
    help="The password of --p12; `-` is stdin. SCEPKIT_P12_PASSWORD can hold it too. Otherwise "
         "scepkit asks at the terminal.",
)  # fmt: skip

p12_options = together(
    option("--p12", metavar="FILE", section=_FILES,
           help="Also write key, certificate and chain to FILE as PKCS #12."),
    p12_password_option,
)  # fmt: skip

wait_options = together(
    option("--wait", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
           section=_WAITING,
           help="When the request is pending, poll for at most this long, then end with exit "
                "code 3."),
    option("--poll-interval", type=click.FloatRange(min=0.01), default=5.0, metavar="SECONDS",
           show_default=True, section=_WAITING,
           help="How long to wait before the first poll. Later waits grow, up to 5 minutes; a "
                "server's Retry-After goes before both."),
)  # fmt: skip

out_options = together(
    option("--out", metavar="FILE", section=_FILES,
           help="Write to FILE; `-` is stdout, and the default."),
    option("--outform", type=click.Choice(["pem", "der"]), default="pem", show_default=True,
           section=_FILES, help="The form to write in."),
)  # fmt: skip


def split_words(values: tuple[str, ...]) -> list[str]:
    """The words in the values of an option that may be given often, and with commas."""
    return [one for value in values for one in value.split(",")]
