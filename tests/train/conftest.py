"""Makes `tests.train.made_up` and `tests.train.kill` importable, whichever way pytest was started, and trains
on the CPU, where a run is the same bit for bit.
"""

import os
import sys
from pathlib import Path

os.environ["ACCELERATE_USE_CPU"] = "true"

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
