"""What Prosa has on the broker: names with their versions, and the arguments of each.

Whoever changes an argument raises the version in the name: a broker refuses (406) to declare an existing queue or
exchange with other arguments, and two versions of Prosa run side by side during a deploy.
"""

from typing import Final

from aiormq.abc import ArgumentsType

INBOX: Final = "prosa.inbox.v1"
"""A direct exchange; the routing key is the name of a process."""
BULLETIN: Final = "prosa.bulletin.v1"
"""A fanout exchange to the inboxes of all gateways."""
DEAD: Final = "prosa.dead.v1"
"""The queue of the dead letters of all pools."""
DECLARING: Final = "prosa.declaring.v1"
"""An exclusive queue for a moment: whoever has it declares quorum queues, and nobody else does."""

INBOX_MESSAGES: Final = 10_000
INBOX_BYTES: Final = 64 * 1024 * 1024
DELIVERY_LIMIT: Final = 20
DEAD_LETTERS: Final = 10_000

# A letter that is looked at and put back is delivered again. RabbitMQ 4 drops from a quorum queue what was
# delivered 20 times, unless told otherwise; 3.x knows no word for "never".
_NEVER: Final = 2**31 - 1

DEAD_ARGUMENTS: Final[ArgumentsType] = {
    "x-queue-type": "quorum",
    "x-max-length": DEAD_LETTERS,
    "x-overflow": "drop-head",
    "x-delivery-limit": _NEVER,
}
JOBS_ARGUMENTS: Final[ArgumentsType] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
}
INBOX_ARGUMENTS: Final[ArgumentsType] = {
    "x-max-length": INBOX_MESSAGES,
    "x-max-length-bytes": INBOX_BYTES,
    "x-overflow": "drop-head",
}


def jobs_queue(pool: str) -> str:
    return f"prosa.jobs.v1.{pool}"


def inbox_queue(name: str, nonce: str) -> str:
    """Fresh for each connection: the broker may still hold the old one for the old connection (405)."""
    return f"{INBOX}.{name}.{nonce}"
