"""Services of our own, started from the system's packages in a folder: to be stopped, killed and wiped at will."""

from prosa.cluster.nodes.postgresql import PostgresNode
from prosa.cluster.nodes.rabbitmq import RabbitNode

__all__ = ["PostgresNode", "RabbitNode"]
