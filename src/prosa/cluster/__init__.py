"""A whole deployment on one machine: its services, its processes, and the network faults between them."""
