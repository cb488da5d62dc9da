"""The commands: parse, call, print, nothing else. A person reads what goes wrong as one sentence."""

from prosa.cli.app import main
from prosa.cli.options import NOT_SET_UP, WRONG

__all__ = ["NOT_SET_UP", "WRONG", "main"]
