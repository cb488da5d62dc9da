"""The documentation is true: its commands work, its links lead somewhere, its tables are those of the code.

A fenced block marked ``console`` is run (console.py), beside a served Prosa at ``$PROSA_URL``, signed in by
``$PROSA_TOKEN``.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import typer

from prosa import bootstrap
from prosa.adapters import memory_bus
from prosa.adapters.scripted_engine import expected_reply
from prosa.adapters.sql import database
from prosa.catalog import BUILT_IN, LOCAL, ModelSettings
from prosa.cli.app import app
from prosa.core import policy, protocol
from prosa.core.errors import ProsaError
from prosa.core.policy import Limits
from prosa.gateway import edge, session, throttle, transport, websocket
from prosa.gateway.problems import STATUS
from prosa.settings import Settings
from tests.system.console import FENCE, blocks, check, commands, fits, script
from tests.system.harness import PASSWORD, Person, Served

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
READMES: Final = (ROOT / "README.md", ROOT / "README.pt-BR.md")
PAGES: Final = (*READMES, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
KIND: Final = "console"
LINK: Final = re.compile(r"\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def _table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    rows = _prose(DOCS / page).split(f"\n{heading}\n")[1].split("\n|---")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows]


def _code(cell: str) -> str:
    return cell.strip(" |`")


# ── commands ──


@pytest.fixture(scope="module")
async def docs_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    served = Served(tmp_path_factory.mktemp("docs") / "data")
    await served.start()
    try:
        yield served
    finally:
        served.kill()


async def _run(served: Served, program: str, *arguments: str, stdin: str = "", token: str = "") -> tuple[int, str]:
    """The exit code and the output of a program in a folder of its own, beside the served Prosa."""
    folder = served.folder.parent / "work"
    folder.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PROSA_URL": served.base, "PROSA_TOKEN": token, **served.settings},
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate(stdin.encode())
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, KIND)], ids=lambda page: page.stem)
async def test_the_commands_of_a_page_do_what_it_says(docs_server: Served, page: Path) -> None:
    shown = commands(page, KIND)
    person = await Person.sign_up(docs_server.base)
    _, output = await _run(docs_server, "bash", stdin=script(shown), token=person.token)
    check(shown, output)


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    assert fits("ok …: fine", "ok    data: fine\n")
    assert not fits("ok …: fine", "ok    data: fine\nfail  port: taken\n")


def test_every_command_that_is_only_shown_exists() -> None:
    """Blocks marked ``sh`` are not run: their verbs of make and commands of prosa must exist."""
    verbs = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    known = set(root.commands)
    for page in PAGES:
        shown = "\n".join(blocks(page, "sh"))
        assert set(re.findall(r"(?:^|true )make ([a-z]+)", shown, re.MULTILINE)) <= verbs, page
        ours = "\n".join(
            line for line in shown.splitlines() if not line.startswith("helm ")
        )  # a release's name is prosa
        assert set(re.findall(r"\bprosa ([a-z]+)", ours)) <= known, page


# ── examples ──


async def test_the_example_in_python_goes_on_through_a_kill_in_mid_answer(docs_server: Served) -> None:
    person = await Person.sign_up(docs_server.base)
    question = "say it whole [[n=100 r=40]]"
    arguments = (str(DOCS / "examples" / "ask.py"), docs_server.base, person.username, PASSWORD, question)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_run(docs_server, sys.executable, *arguments))
        await _answering(person)
        docs_server.kill()
        await docs_server.start()
    code, output = asking.result()
    answer, end = output.rsplit("[again]\n", 1)[-1].strip().rsplit("\n", 1)
    assert (code, answer) == (0, expected_reply(question))
    assert (json.loads(end)["finish"], json.loads(end)["attempt"]) == ("stop", 2)


async def _answering(person: Person) -> None:
    """Wait until an answer of the person has begun, and is not over."""
    seen = 0
    while not seen:
        await asyncio.sleep(0.05)
        for chat in (await person.http("GET", "/api/chats"))[1]["items"]:
            reply = (await person.http("GET", f"/api/chats/{chat['id']}"))[1]["messages"][-1]
            assert reply["state"] in ("queued", "running")
            seen = reply["seq"]


async def test_the_example_with_curl_prints_the_events_to_the_end(docs_server: Served) -> None:
    person = await Person.sign_up(docs_server.base)
    arguments = (str(DOCS / "examples" / "ask.sh"), docs_server.base, person.username, PASSWORD, "one [[n=5 r=50]]")
    code, output = await _run(docs_server, "sh", *arguments)
    assert code == 0, output
    frames = [json.loads(line.removeprefix("data: ")) for line in output.splitlines() if line.startswith("data: ")]
    assert "".join(frame["text"] for frame in frames if frame["type"] == "delta") == expected_reply("one [[n=5 r=50]]")
    assert frames[-1]["finish"] == "stop"


@pytest.mark.parametrize("program", [(sys.executable, "ask.py"), ("sh", "ask.sh")], ids=["python", "curl"])
async def test_an_example_says_how_it_is_used_and_what_went_wrong(
    program: tuple[str, str], docs_server: Served
) -> None:
    command = (program[0], str(DOCS / "examples" / program[1]))
    code, output = await _run(docs_server, *command)
    assert code != 0
    assert "usage: " in output
    code, output = await _run(docs_server, *command, docs_server.base, "nobody", "wrong horse", "hello")
    assert code == 1
    assert "The username or the password is wrong." in output
    assert "Traceback" not in output


def test_the_example_in_python_is_short() -> None:
    assert len((DOCS / "examples" / "ask.py").read_text("utf-8").splitlines()) <= 60


# ── links and languages ──


def _links(page: Path) -> list[str]:
    return [one or two for one, two in LINK.findall(_prose(page))]


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_slug(heading) for heading in re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_image_leads_somewhere(page: Path) -> None:
    for link in _links(page):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(ROOT), link
        assert file.exists(), link
        assert not anchor or anchor in _anchors(file), link


def test_both_readmes_have_the_same_sections_links_andblocks() -> None:
    english, portuguese = READMES
    levels = [re.findall(r"^(#+) ", _prose(page), re.MULTILINE) for page in READMES]
    assert levels[0] == levels[1]
    links = [{link for link in _links(page) if "README" not in link and not link.startswith("#")} for page in READMES]
    assert links[0] == links[1]
    for kind in ("sh", "toml", "console"):
        assert [_without_comments(block) for block in blocks(english, kind)] == [
            _without_comments(block) for block in blocks(portuguese, kind)
        ]
    figures = [re.findall(r"^\|.*?((?:\d[\d.,]*)+[^|]*)\|$", _prose(page), re.MULTILINE) for page in READMES]
    assert [_digits(row) for row in figures[0]] == [_digits(row) for row in figures[1]]


def _without_comments(block: str) -> str:
    return "\n".join(re.sub(r"\s*#.*", "", line) for line in block.splitlines())


def _digits(cells: str) -> str:
    return re.sub(r"\D", "", cells)


def test_every_test_that_is_named_exists() -> None:
    text = "\n".join(_prose(page) for page in PAGES)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


# ── tables ──


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and value:
        return ", ".join(map(str, value))
    return str(value) if value not in (None, "", ()) else "(none)"


def test_the_settings_are_all_there_with_their_defaults() -> None:
    fields = Settings.model_fields
    expected = {key: _default(None if field.is_required() else field.default) for key, field in fields.items()}
    expected["database_url"] = "sqlite:///{data_dir}/prosa.db"
    shown = {_code(row[0]): _code(row[1]) for row in _table("settings.md", "## Keys")}
    assert shown == expected


def test_the_keys_of_a_model_are_all_there_with_their_defaults() -> None:
    fields = ModelSettings.model_fields
    expected = {key: "(required)" if field.is_required() else _default(field.default) for key, field in fields.items()}
    assert {_code(row[0]): _code(row[1]) for row in _table("settings.md", "## Models")} == expected


def test_every_example_of_prosa_toml_is_valid() -> None:
    examples = [block for page in PAGES for block in blocks(page, "toml")]
    assert examples
    for example in examples:
        values: Any = msgspec.toml.decode(example)
        assert Settings.model_validate(values).catalog[0].name == values["models"][0]["name"]


def _errors(kind: type[ProsaError] = ProsaError) -> Iterator[type[ProsaError]]:
    for error in kind.__subclasses__():
        if error.__module__ == ProsaError.__module__:
            yield from _errors(error)
            if "code" in vars(error):
                yield error


def test_the_errors_are_all_there_with_status_and_retryable() -> None:
    expected = {error.code: (str(STATUS[error.code]), "yes" if error.retryable else "no") for error in _errors()}
    rows = _table("protocol.md", "## Errors")
    assert {_code(row[0]): (row[1], row[2]) for row in rows} == expected
    assert len(rows) == len(expected)


def _limits() -> dict[str, list[int]]:
    limits = Limits()
    return {
        "a message": [limits.text_bytes],
        "a frame or a body of a client": [limits.frame_bytes],
        "a body's arrival": [int(edge.BODY_SECONDS)],
        "a reply": [limits.reply_characters],
        "a user's runs, queued or running": [limits.user_runs],
        "a user's waiting messages": [limits.user_waiting],
        "runs at once of a pool": [Settings.model_fields["slots"].default, BUILT_IN[LOCAL].slots or 0],
        "a run's wait; a run's time": [int(limits.start_seconds), int(limits.run_seconds)],
        "workers lost on a run": [policy.CRASHES_IN_A_ROW, policy.CRASHES_IN_ALL],
        "a slow reader's answers and notices": [session.OUTBOX_MESSAGES],
        "one frame's wait for its reader": [int(websocket.SEND_SECONDS)],
        "a socket's send buffers": [transport.KERNEL_BYTES // 1024, transport.PROCESS_BYTES // 1024],
        "open sockets of a user": [bootstrap.SOCKETS_A_USER],
        "open files of the process": [bootstrap.OPEN_FILES],
        "chats watched by a socket; runs named in a `watch`": [session.WATCHED_CHATS, session.NAMED_RUNS],
        "jobs in the in-process broker": [memory_bus.QUEUE_JOBS],
        "mail of a process": [memory_bus.INBOX_MESSAGES, memory_bus.INBOX_BYTES // 1024**2],
        "tries to sign in, a minute": [throttle.PER_NAME, throttle.PER_ADDRESS],
        "addresses remembered for that": [throttle.KEYS],
        "a wait for the database": [int(database.WAIT_SECONDS)],
    }


def test_the_limits_are_those_of_the_code() -> None:
    rows = _table("operations.md", "## Limits")
    shown = {row[0]: [int(number) for number in re.findall(r"\d+", row[1].replace(",", ""))] for row in rows}
    for what, numbers in _limits().items():
        assert shown[what][: len(numbers)] == numbers, what


# ── the protocol ──


def _frames(number: int) -> list[Any]:
    block = blocks(DOCS / "protocol.md", "json")[number]
    return [json.loads(line) for line in block.splitlines()]


@pytest.mark.parametrize(("block", "union"), [(0, protocol.ClientMessage), (1, protocol.ServerMessage)])
def test_every_frame_of_the_protocol_is_shown_as_it_is(block: int, union: Any) -> None:  # noqa: ANN401 — a union of structs
    shown = set()
    for frame in _frames(block):
        message = msgspec.convert(frame, union, strict=False)
        fields = {field.encode_name for field in msgspec.structs.fields(message)}
        assert set(frame) <= {"type", *fields}, frame
        shown.add(type(message))
    assert shown == set(union.__args__)
    tables = "".join(_prose(DOCS / "protocol.md"))
    assert all(f"| `{kind.__struct_config__.tag}` |" in tables for kind in shown)


def test_the_close_codes_are_those_of_the_gateway() -> None:
    ours = {session.NO_OBJECT, session.OVERLOADED, session.NOT_SIGNED_IN, session.FORBIDDEN_ORIGIN}
    assert {int(row[0]) for row in _table("protocol.md", "## Close codes")} == ours | {1009, 1012}
