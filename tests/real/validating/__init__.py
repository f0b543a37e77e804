"""Providers that take only requests which the real ones would take, and answer what a test tells them to."""
