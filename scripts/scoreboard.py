"""Write docs/scoreboard.md from docs/scoreboard/*.json.

Run      python scripts/scoreboard.py
"""

from pathlib import Path

from armchair.core.files import write_bytes
from armchair.evaluation.scoreboard import page, read_folder

DOCS = Path(__file__).resolve().parents[1] / "docs"

if __name__ == "__main__":
    write_bytes(DOCS / "scoreboard.md", page(read_folder(DOCS / "scoreboard")).encode())
