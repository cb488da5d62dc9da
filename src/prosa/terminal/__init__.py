"""``prosa chat``: a client in a terminal, over the same protocol as everybody's."""
