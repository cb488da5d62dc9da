"""The release before this one, as it was: its source from this repository's history, run by this interpreter."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COMMIT: Final = "cba807e3ce71079681ac28933fd94324b64029d4"
"""0.1.0. With each release this becomes the commit of the one before, and ``SCHEMA`` its schema."""
SCHEMA: Final = "0002"


def previous(folder: Path) -> Path:
    """Write its packages there; what PYTHONPATH must name, so that ``python -m prosa`` is that release.

    Raises AssertionError where the history does not go back so far.
    """
    archive = ["git", "-C", str(ROOT), "archive", COMMIT, "src"]
    made = subprocess.run(archive, capture_output=True, check=False)
    way = "This test needs the repository's history: run `git fetch --unshallow`."
    assert made.returncode == 0, f"{made.stderr.decode()}{way}"
    with tarfile.open(fileobj=BytesIO(made.stdout)) as found:
        found.extractall(folder, filter="data")
    return folder / "src"
