"""What is the same in each run: the examples that Hypothesis draws, and what ^C does.

HYPOTHESIS_PROFILE=anew draws others; `scripts/fuzz` looks for what nobody thought of.  How long an
example takes is nobody's business here: it says more of the machine's neighbours than of the code.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "anew", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell lets what it runs in the background ignore ^C, and all that is started from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
