"""What people ask during a siege: replies of many lengths. Pure."""

import zlib

from prosa.load.plan import LOST_SECONDS, Plan


class Workload(Plan, frozen=True):
    """A plan whose replies have from ``fewest`` to ``words`` words, as the message's own name decides.

    Whatever its length, a message without an end ``lost_after`` seconds behind its acknowledgement is lost.
    """

    fewest: int = 20
    late_seconds: float = LOST_SECONDS
    """A gateway that was frozen or swamped tells a later answer from the database while it works off older frames.
    Whether an answer began before the one ahead of it had ended, the database says exactly."""

    @property
    def own_seconds(self) -> float:
        return 0.0

    def question(self, name: str) -> str:
        span = self.words - self.fewest + 1
        words = self.fewest + zlib.crc32(name.encode()) % span
        return f"Chaos {name}. [[n={words} r={self.rate:g} ttft={self.ttft:g}]]"
