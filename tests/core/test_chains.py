"""core.chains: what is read of a certificate, and who signed it (paths: test_ca_certificates)."""

from __future__ import annotations

import pytest

from scepkit.core.chains import Facts, anchor_link, grow, issue_fault, one_line
from tests import odd_certificates as odd
from tests import pki

ROOT = pki.root()
ISSUING = pki.intermediate(ROOT)


@pytest.mark.parametrize(
    "device", [pki.device(ISSUING), odd.with_sha1(pki.device(ISSUING), ISSUING)]
)
def test_an_issuer_with_the_right_key_and_another_name_is_not_the_issuer(
    device: pki.Identity,
) -> None:
    renamed = pki.root("rsa2048-b", "Other name")
    assert not issue_fault(Facts(device.certificate), Facts(ISSUING.certificate))
    assert issue_fault(Facts(device.certificate), Facts(renamed.certificate))


def test_what_an_exception_says_becomes_one_printable_line() -> None:
    assert one_line(ValueError("first\nsecond")) == "first"
    assert one_line(ValueError("\x1b[2J")) == "?[2J"
    assert one_line(ValueError()) == "ValueError"


def test_without_a_date_ways_out_of_date_are_as_good_as_others() -> None:
    late = pki.intermediate(ROOT, not_after=pki.NOW)
    links, faults = grow([anchor_link(Facts(ROOT.certificate))], [Facts(late.certificate)], None)
    assert links[late.certificate].path() == (late.certificate, ROOT.certificate)
    assert not faults


def test_a_certificate_further_up_with_the_same_name_and_key_is_a_repetition() -> None:
    back = pki.certificate(ROOT.name, ROOT.key, issuer=ISSUING, ca=True)
    below = Facts(pki.intermediate(ROOT, path_length=1).certificate)
    top = anchor_link(Facts(ROOT.certificate))
    links, _ = grow([top], [below, Facts(back.certificate)], None)
    assert links[back.certificate].repeats
    assert not links[below.certificate].repeats
    assert not top.repeats
