"""The image: what the Dockerfile copies, runs and sets is there; the wheel is the same twice; what is in it may be."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deployment import ROOT, is_command, is_setting
from tools import sbom

TEXT = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
IGNORED = [
    line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def of(instruction: str) -> list[str]:
    return [words for name, words in LINES if name == instruction]


def copied() -> Iterator[str]:
    """What is taken from the checkout."""
    for words in of("COPY"):
        if "--from=" not in words:
            *sources, _ = words.split()
            yield from sources


def is_ignored(path: str) -> bool:
    """The last line that matches a file or one of its folders decides, as Docker reads it."""
    parents = ["/".join(path.split("/")[:count]) for count in range(1, path.count("/") + 2)]
    decided = False
    for line in IGNORED:
        pattern = line.removeprefix("!").replace("**/", "*")
        if any(fnmatch.fnmatch(one, pattern) for one in parents):
            decided = not line.startswith("!")
    return decided


def test_what_is_copied_is_there_and_reaches_the_build() -> None:
    assert len(set(copied())) > 8
    for source in copied():
        assert (ROOT / source).exists(), source
        files = [path for path in (ROOT / source).rglob("*") if path.is_file()] or [ROOT / source]
        names = [str(path.relative_to(ROOT)) for path in files]
        sent = [name for name in names if not is_ignored(name)]
        left = {name for name in names if name not in sent}
        assert sent, f"{source} is ignored"
        assert all("__pycache__" in name or "/gateway/page/" in name for name in left), left


@pytest.mark.parametrize(
    "other", ["data/prosa.db", ".env", "deploy/compose/secrets/postgres_password", ".git/config", "web/node_modules/x"]
)
def test_nothing_else_reaches_the_build(other: str) -> None:
    assert is_ignored(other)


def test_it_starts_this_prosa_as_nobody_with_its_own_settings() -> None:
    (entry,) = of("ENTRYPOINT")
    (command,) = of("CMD")
    assert json.loads(entry) == ["prosa"]
    assert "prosa" in PROJECT["scripts"]
    assert is_command(json.loads(command))
    variables = re.findall(r"\b(PROSA_\w+)=", " ".join(of("ENV")))
    assert variables
    assert all(is_setting(name) for name in variables)
    assert of("USER") == ["10001:10001"]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert f"PYTHON=python:{PROJECT['requires-python'].removeprefix('>=')}-" in TEXT


def test_the_linter_finds_nothing() -> None:
    found = subprocess.run(
        [str(Path(sys.executable).parent / "hadolint"), str(ROOT / "Dockerfile")], capture_output=True, check=False
    )
    assert found.returncode == 0, found.stdout.decode()


def test_the_wheel_is_the_same_wherever_and_whenever_it_is_built(tmp_path: Path) -> None:
    (epoch,) = re.findall(r"ARG SOURCE_DATE_EPOCH=(\d+)", TEXT)
    wheels = []
    for name in ("one", "another"):
        source = tmp_path / name / "source"
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            source.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, source / file)
        shutil.copytree(
            ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
        )
        environment = {"PATH": os.defpath, "SOURCE_DATE_EPOCH": epoch}
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / name)]
        subprocess.run(build, cwd=source, env=environment, check=True, capture_output=True)
        (wheel,) = (tmp_path / name).glob("*.whl")
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]


# ── what it is made of ──

# Licences of code that is used beside ours, and does not reach into it. MPL-2.0 stays with its own files.
COMPATIBLE = re.compile(r"(Apache|BSD|MIT|ISC|PSF|Python-2\.0|MPL|Mozilla Public|0BSD|CC0|Unlicense|Zlib)")
FORBIDDEN = re.compile(r"\b(A?GPL|LGPL|SSPL|BUSL|CC-BY-NC)", re.IGNORECASE)


def test_every_package_is_listed_with_a_licence_that_fits() -> None:
    boms = (sbom.python(), sbom.page())
    listed = {canonicalize_name(one["name"]) for one in boms[0]["components"]}
    assert sbom.locked().keys() - listed <= {"colorama"}, "only Windows has that one"
    assert {"react", "streamdown"} <= {one["name"] for one in boms[1]["components"]}
    for bom in boms:
        for one in bom["components"]:
            found = sbom.licences(one)
            assert COMPATIBLE.search(found), f"{one['name']}: {found or 'no licence is stated'}"
            assert not FORBIDDEN.search(found), f"{one['name']}: {found}"
