"""The main job on a bundled mug: `python scripts/demo.py` makes its environment, out/demo.blend and out/demo.png."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.environment import ready_environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is, or is made")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="folder of the results")
    parser.add_argument("--mesh", type=Path, default=ROOT / "scripts" / "samples" / "mug.obj", help="an OBJ, +Y up")
    parser.add_argument("--count", type=int, default=16, help="candidates of each click")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=32, help="of Cycles, a pixel")
    options = parser.parse_args()
    python = ready_environment(options.venv.resolve())
    options.out.mkdir(parents=True, exist_ok=True)
    command = [str(python), str(ROOT / "scripts" / "demo_scene.py"), str(options.mesh.resolve()),
               str(options.out.resolve()), "--count", str(options.count), "--seed", str(options.seed),
               "--samples", str(options.samples)]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
