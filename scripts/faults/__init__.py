"""What goes wrong around the add-on and the engine, done to them on purpose: a module a family of faults.

`scripts/inject_faults.py` is the command. A fault is a function of a `Trial`, which does it, and counts in the trial's
verdict what should not have come of it.
"""

import sys
from typing import Final

from scripts import ROOT

#: what the tests share: a made engine, one that misbehaves, and a window's context
SHARED: Final = ROOT / "tests" / "grasp_addon"
if str(SHARED) not in sys.path:
    sys.path.insert(1, str(SHARED))
