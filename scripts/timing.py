"""What the window would show of a generator at work, for the scripts that time one."""

from __future__ import annotations

import time


class Watch:
    """A `Progress` that notes when the first grasp was shown."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.first: float | None = None

    def __call__(self, fraction: float, stage: str) -> bool:
        return True

    def accepted(self, grasps: object) -> None:
        if self.first is None:
            self.first = time.perf_counter() - self.begin
