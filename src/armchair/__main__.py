"""`python -m armchair` is the command `armchair`."""

from armchair.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
