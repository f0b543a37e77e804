"""Facing operators: the admin API under ``/admin/v1``, and what a key's owner may see of it."""
