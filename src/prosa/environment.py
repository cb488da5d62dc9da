"""Variables whose value is in a file: ``X_FILE`` names the file of ``X``, as secrets reach containers and units."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from prosa.core.errors import BadConfig

SUFFIX: Final = "_FILE"
MOST_BYTES: Final = 64 * 1024
"""Of such a file: more is no secret, but a wrong path."""


class Variables(msgspec.Struct, frozen=True):
    """Values by the variable's name in capitals, and from which variable each came."""

    values: dict[str, str]
    sources: dict[str, str]


def read(environ: Mapping[str, str], names: Iterable[str]) -> Variables:
    """What the variables of these names hold, in themselves or in files; those that are not set or empty are left out.

    Names are met without regard to case. A file's last line end does not count.

    Raises BadConfig, which names the variable: for a variable that is given both ways, and for a file that is not
    there, cannot be read, is empty, too big, or no text.
    """
    given = {name.upper(): (name, value) for name, value in environ.items() if value}
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name in names:
        plain, file = given.get(name), given.get(name + SUFFIX)
        if plain and file:
            raise BadConfig(f"{plain[0]} and {file[0]} are both set. Leave one of them out.")
        if plain:
            values[name], sources[name] = plain[1], plain[0]
        if file:
            values[name], sources[name] = _content(*file), file[0]
    return Variables(values, sources)


def unknown(environ: Mapping[str, str], prefix: str, known: Collection[str]) -> list[str]:
    """A sentence for each variable that begins like ours and is none, nor names the file of one."""
    ours = [name for name in sorted(environ) if name.upper().startswith(prefix)]
    return [_unknown(name, prefix, known) for name in ours if name.upper().removesuffix(SUFFIX) not in known]


def _unknown(variable: str, prefix: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(
        variable.upper().removeprefix(prefix), [name.removeprefix(prefix) for name in known], 1
    )
    meant = f" Did you mean {prefix}{close[0]}?" if close else ""
    return f"The variable {variable} is no setting and is ignored.{meant}"


def _content(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise BadConfig(
            f"{variable}: {path} cannot be read: {error.strerror}. Correct the path, or the file."
        ) from error
    except UnicodeDecodeError as error:
        raise BadConfig(f"{variable}: {path} is no text in UTF-8. Correct the path, or the file.") from error
    if not text.strip() or len(content) > MOST_BYTES:
        wrong = "is empty" if not text.strip() else f"has more than {MOST_BYTES} bytes"
        raise BadConfig(f"{variable}: {path} {wrong}. Write the value into it, or name another file.")
    return text
