"""``python -m dbgsom_core.cli`` is ``dbgsom``."""

from dbgsom_core.cli import main

if __name__ == "__main__":
    main()
