"""A cluster under siege: people ask while processes, services and the network between them fail: `prosa chaos`."""
