"""``python -m pasm_aug`` is ``pasm-aug``."""

import sys

from pasm_aug.cli import main

sys.exit(main())
