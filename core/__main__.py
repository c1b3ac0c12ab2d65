"""`python -m core`: the commands of `core.cli`."""

import sys

from core.cli import main

sys.exit(main())
