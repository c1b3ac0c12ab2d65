"""When a generator shows its first grasp, for the scripts that time one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from core.progress import Progress


class Watch(Progress):
    """A progress that notes when the first grasp was shown.

    Attributes:
        begin: seconds of `time.perf_counter` when it was made.
        first: seconds from then to the first grasp; None until there is one.
    """

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.first: float | None = None
        super().__init__(show=self._note)

    def _note(self, _grasps: Any) -> None:
        if self.first is None:
            self.first = time.perf_counter() - self.begin
