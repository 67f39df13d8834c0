"""Clock and randomness, the two things besides files that a run depends on.

They enter the store by argument, so that a simulated run can replace them and be
repeated from its seed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _now_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Environment:
    """What a store may know of the world outside its device.

    Attributes:
        now_us: Returns the wall clock in microseconds since 1970-01-01 UTC.
        random_bytes: Returns that many unpredictable bytes.
    """

    now_us: Callable[[], int] = _now_us
    random_bytes: Callable[[int], bytes] = os.urandom
