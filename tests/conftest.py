"""Which examples Hypothesis draws: the same in each run, so that a run fails for a change's sake.

HYPOTHESIS_PROFILE=anew draws others; `scripts/fuzz` looks for what nobody thought of.  How long an
example takes is nobody's business here: it says more of the machine's neighbours than of the code.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "anew", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
