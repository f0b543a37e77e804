"""What was used, written down exactly once: a journal that survives the process, and a database to ask."""
