"""Does to the add-on and its engine what goes wrong around them, again and again, and counts what should not follow.

    python scripts/inject_faults.py --count 200 --seed 0        with a Python that has bpy
    python scripts/inject_faults.py --only hand,engine          kinds that begin so
    python scripts/inject_faults.py --count 1200 --slice 1/4 --record FAULTS.jsonl      in parts, with one table

The engine is the tests' made one, which dies, falls silent, talks nonsense or dawdles, or during whose work the scene
is changed, a file loaded, ESC pressed; or a hand is edited afterwards; or the engine is a program that misbehaves,
whose pipes are cut, or the worker itself, which is killed; or files are damaged and disks full. All goes through the
operators that the buttons call, in a window's ticks or as a script calls them. Where the engine is made, time in which
the add-on only waits is not waited for. Counted are, for each kind: what of the animator's was changed, a success that
is none (the hand does not lie on the object), an error that is no sentence, whatever holds the window for over 0.2 s,
a click after which the next is impossible, and what is left over: data, programs, threads, timers, handlers. Ends with
1 where anything was counted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.faults.run import main

if __name__ == "__main__":
    code = main(description=__doc__)
    sys.stdout.flush()
    os._exit(code)  # bpy as a module is slow to tear down
