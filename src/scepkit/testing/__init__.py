"""A SCEP CA for tests of clients: in memory or over HTTP, right or wrong on purpose.

    from scepkit.testing import TestCa

    def test_my_client_notices_forged_replies():
        ca = TestCa(challenge="secret", faults=["signer-is-end-entity"])
        with ca.serve() as url:
            with pytest.raises(MyClientError):
                my_client.enrol(url, challenge="secret", fingerprint=ca.fingerprint)

Every fault has a plain name, says what it does and what a right client makes of it:

    >>> from scepkit.testing import Fault
    >>> fault = Fault.named("recipient-nonce-wrong")
    >>> fault.does, fault.ends
    ('recipientNonce is another one', 'refused')

`scepkit.testing.pytest_plugin` has fixtures.  Nothing here is for production: keys are shared by
all test CAs of a process, and nothing outlives it.
"""

from scepkit.testing.ca import TestCa
from scepkit.testing.faults import Fault
from scepkit.testing.records import HttpExchange, ReceivedMessage
from scepkit.testing.state import Policy, Transaction

__all__ = ["Fault", "HttpExchange", "Policy", "ReceivedMessage", "TestCa", "Transaction"]
