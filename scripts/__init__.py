"""What is run by hand: the demo, the tests, training; measurements in `benchmarks`, what made the data in `build`."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
#: meshes to try things on
SAMPLES: Final = ROOT / "scripts" / "samples"
#: the training grasps
TRAINING: Final = ROOT / "weights" / "training" / "grasps.npz"
#: suffixes of the files that are taken from a folder of meshes
MESH_SUFFIXES: Final = frozenset({".obj", ".ply", ".stl", ".glb", ".gltf", ".off"})
