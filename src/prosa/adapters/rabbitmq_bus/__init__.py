"""The bus over RabbitMQ: quorum queues for jobs, one bounded inbox per process, bulletins to all inboxes."""

from prosa.adapters.rabbitmq_bus.bus import RabbitBus, check, open_rabbitmq
from prosa.adapters.rabbitmq_bus.dead import DeadLetters, Handled, Letter, open_dead_letters

__all__ = ["DeadLetters", "Handled", "Letter", "RabbitBus", "check", "open_dead_letters", "open_rabbitmq"]
