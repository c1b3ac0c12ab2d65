"""Writes core/requirements.lock and core/requirements-torch.lock: what Install Engine installs, by version and hash.

    python scripts/build/lock.py

uv resolves core/requirements.txt for all platforms and Pythons from 3.11 on at once, and takes the hashes from the
index. PyTorch and what its Linux builds bring for NVIDIA's cards are a file of their own, since a build for the
processor alone is elsewhere, under other hashes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.environment import environment_python, ready_environment

UV: Final = "uv==0.13.9"
REQUIREMENTS: Final = ROOT / "core" / "requirements.txt"
OTHERS: Final = ROOT / "core" / "requirements.lock"
TORCH: Final = ROOT / "core" / "requirements-torch.lock"
HEAD: Final = "# Written by scripts/build/lock.py: every file of each package's one version, on any platform.\n"
WITH_TORCH: Final = re.compile(r"(torch|triton|cuda-.*|nvidia-.*)==")


def resolved(requirements: Path) -> list[str]:
    """Each package that is needed: its line, with its hashes on lines that continue it.

    Raises:
        SystemExit: uv could not resolve them; its message is above.
    """
    python = ready_environment(ROOT / ".venv-lock", (UV,))
    uv = environment_python(python.parents[1]).with_name("uv.exe" if os.name == "nt" else "uv")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lock")
        done = subprocess.run([uv, "pip", "compile", "--universal", "--generate-hashes", "--python-version", "3.11",
                               "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
                               "--quiet", "--output-file", out, requirements],
                              env={k: v for k, v in os.environ.items() if not k.startswith("PIP_")}, check=False)
        if done.returncode:
            raise SystemExit("The packages could not be resolved.")
        return re.split(r"\n(?=\S)", out.read_text(encoding="utf-8").strip())


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    entries = [entry for entry in resolved(REQUIREMENTS) if "== 'emscripten'" not in entry]
    for path, torch in ((OTHERS, False), (TORCH, True)):
        chosen = [entry for entry in entries if bool(WITH_TORCH.match(entry)) == torch]
        path.write_text(HEAD + "\n".join(chosen) + "\n", encoding="utf-8")
        print(f"{len(chosen)} packages in {path.name}")


if __name__ == "__main__":
    main()
