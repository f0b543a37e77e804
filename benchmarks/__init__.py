"""What a call and a streamed chunk cost the gateway, beside nginx and Twisted's own HTTP: ``python -m benchmarks``."""
