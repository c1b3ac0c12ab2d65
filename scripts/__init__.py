"""What is run by hand: the demo, the tests, training; measurements in `benchmarks`, what made the data in `build`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
