"""``python -m scepkit`` is the same as ``scepkit``."""

import sys

from scepkit.cli import main

sys.exit(main())
