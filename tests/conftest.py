"""
How much hypothesis tries: enough for every run, and far more for `make fuzz`.

``FUZZ_EXAMPLES=10000 make fuzz`` tries that many.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A shared machine stalls for whole seconds now and then, so no example has a deadline.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "5000")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")
