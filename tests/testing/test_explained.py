"""What `scepkit inspect --explain` says of a wrong reply is what our own client makes of it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from scepkit import ScepError
from scepkit.core.inspect import inspect_message
from scepkit.core.inspect.explain import explain
from scepkit.core.inspect.explanation import Explanation, Known
from scepkit.testing import Fault
from scepkit.testing.reply_faults import REPLY_FAULTS
from tests.testing.driving import csr_for, make_client
from tests.testing.test_faults import ca_with

#: Faults of a CertRep that a client gets to see.
SEEN = [one for one in REPLY_FAULTS if one.operation == "enrol" and one is not Fault.SIGNER_EXPIRED]


def explained(fault: Fault) -> Explanation:
    """The reply of a CA with this fault, held against the request, the key and the CA."""
    ca = ca_with(fault)
    csr, key = csr_for(ca)
    with suppress(ScepError):
        make_client(ca).enrol(csr, key)
    message = ca.messages[-1]
    found = inspect_message(message.reply, key=key, signers=ca.offered)
    return explain(found, Known(inspect_message(message.request), ca.offered, key))


@pytest.mark.parametrize("fault", SEEN, ids=lambda fault: fault.plain_name)
def test_a_reply_is_explained_as_our_client_takes_it(fault: Fault) -> None:
    explanation = explained(fault)
    stop = explanation.stops_at
    if fault.ends == "works":
        assert stop is None, stop
    else:
        assert stop is not None
        assert (stop.step == "pkiStatus") == (
            fault.ends == "rejected" or fault is Fault.PKI_STATUS_1
        ), stop
