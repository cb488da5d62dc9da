"""``python -m prosa``: the same as ``prosa``."""

from prosa.cli import main

main()
