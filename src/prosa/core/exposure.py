"""Whom the metrics are shown: a decision of its own at each address, made before anything is rendered. Pure."""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

import msgspec

FORWARDED: Final = frozenset(
    {"cf-connecting-ip", "client-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-cluster-client-ip"}
    | {"x-forwarded", "x-original-forwarded-for", "x-original-host", "x-real-ip"}
)
"""Headers by which a proxy shows itself; and all that begin with ``x-forwarded-``."""
SCHEME: Final = "bearer"


class Exposure(msgspec.Struct, frozen=True):
    """How one address shows the metrics.

    With a ``token``, to whoever brings it as ``Authorization: Bearer``. Without one, to programs on this machine that
    came without a proxy; or to ``anybody``, where the address is for the metrics alone. ``elsewhere``: they are not
    at this one, but at one of their own, or nowhere.
    """

    token: str | None = None
    elsewhere: bool = False
    anybody: bool = False

    def admits(self, peer: str | None, headers: Mapping[str, str]) -> bool:
        """``peer`` is the other end's address; names of headers are in small letters, or in a mapping that ignores it.

        Whoever is not admitted is told what is told at an address that there is not.
        """
        if self.elsewhere:
            return False
        if self.token is not None:
            return _brings(headers.get("authorization", ""), self.token)
        return self.anybody or _from_here(peer, headers)


FROM_HERE: Final = Exposure()
"""To programs on this machine."""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address; a name is one only if it is ``localhost``."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def _brings(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    # In bytes: a header may hold what is no ASCII, which compare_digest refuses as text.
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == SCHEME


def _from_here(peer: str | None, headers: Mapping[str, str]) -> bool:
    """A proxy on this machine brings others' requests from here: it gives itself away by what it adds, or by the name
    under which they asked. (So does a page whose name was made to lead here.)"""
    if peer is None or not is_loopback(peer):
        return False
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name in map(str.lower, headers)):
        return False
    return is_loopback(_name(headers.get("host", "")))


def _name(host: str) -> str:
    """A ``Host`` header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0]
