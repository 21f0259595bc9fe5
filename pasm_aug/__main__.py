"""``python -m pasm_aug`` is ``pasm-aug``."""

import sys

from pasm_aug.cli.entry import main

sys.exit(main())
