"""`make sbom`: what is in the image, as CycloneDX: the Python packages of the locks, and the page's packages.

The list of Python packages is made from those that are installed (their licences stand in their own metadata), less the
tools of developers; so it is of the machine's kind, as the image is.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "dist"
LOCKS: Final = ("run.txt", "model.txt")
BUILD_ONLY: Final = frozenset({"hatchling", "editables", "pathspec", "pluggy", "tomlkit", "trove-classifiers"})
"""In the lock to build the package, and removed from the image once that is done."""
_PINNED: Final = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)

Bom = dict[str, Any]


def locked() -> dict[str, str]:
    """Versions by name, of all that the image may hold on any system."""
    text = "\n".join((ROOT / "requirements" / name).read_text("utf-8") for name in LOCKS)
    found = {canonicalize_name(name): version for name, version in _PINNED.findall(text)}
    return {name: version for name, version in found.items() if name not in BUILD_ONLY}


def python() -> Bom:
    """Of this interpreter's environment. Raises CalledProcessError."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-format", "JSON"]
    return _only(_json([*command, *options]), locked())


def _only(bom: Bom, wanted: Mapping[str, str]) -> Bom:
    kept = [one for one in bom["components"] if canonicalize_name(one["name"]) in wanted]
    refs = {one["bom-ref"] for one in kept} | {bom["metadata"]["component"]["bom-ref"]}
    links = [
        {**link, "dependsOn": [ref for ref in link.get("dependsOn", ()) if ref in refs]}
        for link in bom["dependencies"]
        if link["ref"] in refs
    ]
    return {**bom, "components": kept, "dependencies": links}


def page() -> Bom:
    """Of what the page's JavaScript is bundled from."""
    bom = _json(["npm", "--prefix", str(ROOT / "web"), "sbom", "--sbom-format", "cyclonedx", "--omit", "dev"])
    # Of the moment, not of the packages.
    bom.pop("serialNumber", None)
    bom["metadata"].pop("timestamp", None)
    return bom


def _json(command: list[str]) -> Bom:
    made = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 — programs of this checkout
    found: Bom = json.loads(made.stdout)
    return found


def licences(component: Mapping[str, Any]) -> str:
    """As the package states them; empty where it states none."""
    found = (
        one.get("expression") or one["license"].get("id") or one["license"].get("name") or ""
        for one in component.get("licenses", ())
    )
    return " AND ".join(part for part in found if part)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, bom in (("python", python()), ("page", page())):
        path = FOLDER / f"sbom-{name}.cdx.json"
        path.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", "utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(bom['components'])} packages\n")


if __name__ == "__main__":
    main()
