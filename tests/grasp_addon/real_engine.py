"""The engine this suite runs with, and waiting for its answers."""

from __future__ import annotations

import os
import sys
import time

from grasp_addon.engine.folders import ROOT

COMMAND = [os.environ.get("GRASP_ENGINE_PYTHON", sys.executable), "-m", "core.worker"]
VARIABLES = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def answer(client, number, seconds=60):
    """All replies to a request, until its result or error."""
    until, found = time.monotonic() + seconds, []
    while time.monotonic() < until:
        found += [reply for reply in client.poll() if reply[0]["id"] == number]
        if found and found[-1][0]["type"] in ("result", "error"):
            return found
        time.sleep(0.01)
    raise AssertionError("no answer")
