"""The page's types are those of the protocol."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_typescript_types_are_those_that_the_generator_writes() -> None:
    generator = runpy.run_path(str(ROOT / "tools" / "protocol_ts.py"))
    committed = (ROOT / "web" / "src" / "protocol.ts").read_text(encoding="utf-8")
    assert committed == generator["generate"](), "Run: python tools/protocol_ts.py"
