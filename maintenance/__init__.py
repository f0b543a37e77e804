"""What keeps the shipped files up to date; no part of what is installed."""
