"""Several processes on the same listening sockets, and the change from an old program to a new one without a gap."""
