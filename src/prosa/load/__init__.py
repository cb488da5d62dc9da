"""Many people at once over real sockets, each of whom believes nothing: `prosa bench`."""
