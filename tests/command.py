"""``prosa …`` as a person types it, run in this process."""

import io
import sys

import pytest

from prosa import cli


class Command:
    """Runs ``prosa …`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str, stdin: str = "") -> int:
        self._monkeypatch.setattr(sys, "argv", ["prosa", *words])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            cli.main()
        self.out, self.err = self._capsys.readouterr()
        code = left.value.code
        return code if isinstance(code, int) else 0
