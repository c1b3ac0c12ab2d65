"""`python -m core`: the commands of `core.cli`."""

import sys

try:
    from core.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"This Python has no package '{error.name}': use one with the packages of core/requirements.txt, such as "
             "an engine's.")

sys.exit(main())
