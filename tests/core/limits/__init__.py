"""The arithmetic of limits, in simulated time."""
