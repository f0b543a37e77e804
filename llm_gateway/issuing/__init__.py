"""Virtual keys that are made while the gateway runs: how they are made and changed, and how they come into use."""
