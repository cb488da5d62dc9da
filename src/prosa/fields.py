"""What the value of a setting must be, beyond its type, and what a person is told whose value is not."""

import ipaddress
import re
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import SecretStr
from pydantic_core import PydanticCustomError

TOKEN_CHARACTERS: Final = 16
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def divided(value: object) -> object:
    """A list that is written as one text, with commas between."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def with_driver(url: str) -> str:
    """The URL with our driver in it; a database of another make is refused."""
    scheme, separator, rest = url.partition("://")
    makes = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite"}
    kind, _, _given = scheme.partition("+")
    if not separator or kind not in makes:
        raise PydanticCustomError("database", "a database's address begins with postgresql:// or sqlite://")
    if kind != "sqlite" and not urlsplit(reachable(url)).path.strip("/"):
        raise PydanticCustomError("database", "it names no database: write postgresql://user@host/database")
    return f"{makes[kind]}://{rest}"


def reachable(url: str) -> str:
    """The address of a service, unless no connection could ever be made to it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        way = "a password with other characters than letters and digits goes into a setting of its own (…_password)"
        raise PydanticCustomError("address", "{what}", {"what": f"its port is no number up to 65535; {way}"}) from None
    if any(letter.isspace() for letter in url):
        raise PydanticCustomError("address", "an address has no blanks")
    return url


def with_host(url: str) -> str:
    """The address of a service, which must name where it is."""
    if not urlsplit(reachable(url)).hostname:
        raise PydanticCustomError("address", "it names no host: write amqp://user@host/")
    return url


def with_port(url: str) -> str:
    """The URL, unless its port is none."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise PydanticCustomError("address", "its port is not a number from 0 to 65535") from None
    return url


def hard_to_guess(token: SecretStr) -> SecretStr:
    """A token that nobody finds by trying, and that travels in a header as it is."""
    value = token.get_secret_value()
    if len(value) < TOKEN_CHARACTERS:
        what = f"it is too short: give it {TOKEN_CHARACTERS} characters or more, as `openssl rand -hex 24` does"
        raise PydanticCustomError("token", "{what}", {"what": what})
    if not _VISIBLE.fullmatch(value):
        raise PydanticCustomError("token", "it travels in a header: write it without blanks, accents and line ends")
    return token


def with_password(url: str, password: SecretStr) -> str:
    """The address with the password of the user that it names; refused where there is none, or a password already."""
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        raise PydanticCustomError("password", "a file has no password: leave database_password out")
    user, _, place = parts.netloc.rpartition("@")
    if not user:
        raise PydanticCustomError("password", "name the user whose password is given: ://user@host")
    if ":" in user:
        raise PydanticCustomError("password", "it has a password of its own, and another one is given: leave one out")
    return parts._replace(netloc=f"{user}:{quote(password.get_secret_value(), safe='')}@{place}").geturl()


def network(text: str) -> str:
    """One address, or a network such as 10.0.0.0/8."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise PydanticCustomError("network", "write addresses or networks, such as 10.0.0.0/8") from None
