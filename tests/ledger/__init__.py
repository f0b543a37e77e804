"""Tests of the ledger, on SQLite and on a PostgreSQL server of their own."""
