"""Makes `tests.train.made_up` and `tests.train.kill` importable, whichever way pytest was started."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
