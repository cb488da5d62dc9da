"""What can be wrong before Prosa starts: one sentence that names it, exit code 2, nothing half-begun."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Served, free_port

PROSA = Path(sys.executable).with_name("prosa")


def serve(folder: Path, *flags: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `prosa serve` where it cannot start."""
    environ = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "PROSA_LOCAL": "false",
        "PROSA_SCRIPTED": "true",
        "PROSA_DATA_DIR": str(folder / "data"),
        "PROSA_PORT": str(free_port()),
        **{f"PROSA_{key.upper()}": value for key, value in settings.items()},
    }
    return subprocess.run(
        [PROSA, "serve", *flags], env=environ, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_taken_port_is_named(tmp_path: Path, taken: int) -> None:
    refused(serve(tmp_path, port=str(taken)), str(taken), "taken", "--port")


def test_a_taken_port_of_the_metrics_is_named(tmp_path: Path, taken: int) -> None:
    refused(serve(tmp_path, metrics_port=str(taken)), str(taken), "taken", "PROSA_METRICS_PORT")


async def test_a_second_process_on_the_same_data_folder_is_refused_and_the_first_goes_on(served: Served) -> None:
    result = serve(served.folder.parent)
    refused(result, str(served.folder), str(served.pid), "--data-dir")
    assert served.process is not None
    assert served.process.poll() is None


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A plain file in its place: root can write into a folder whatever its mode."""
    (tmp_path / "data").write_text("I am a file")
    refused(serve(tmp_path), str(tmp_path / "data"), "--data-dir")


def test_a_broken_file_of_settings_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "prosa.toml").write_text("port = 8000\nhost = \n")
    refused(serve(tmp_path), "prosa.toml", "line 2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slots = 4\nprot = 9000\n", ("line 2", "prot", "port")),
        ("slots = 4\n\nuser_limit = 'many'\n", ("line 3", "user_limit")),
        ("[[models]]\nname = 'm'\nengine = 'opnai'\n", ("line 3", "engine")),
        ("[[models]]\nname = 'm'\nengine = 'openai'\n", ("base_url",)),
    ],
)
def test_a_wrong_setting_is_named_with_its_line_and_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "prosa.toml").write_text(text)
    refused(serve(tmp_path), "prosa.toml", *words)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    refused(serve(tmp_path, slots="none"), "PROSA_SLOTS")


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "prosa.toml").write_text("[[models]]\nname = 'mine'\nengine = 'local'\npath = 'gone.gguf'\n")
    refused(serve(tmp_path), "gone.gguf")


def test_a_database_of_another_make_is_refused(tmp_path: Path) -> None:
    refused(serve(tmp_path, database_url="mysql://localhost/x"), "PROSA_DATABASE_URL", "postgresql")
