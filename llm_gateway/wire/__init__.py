"""HTTP/1.1 behind Twisted's own interfaces (a ``Site``, an ``IAgent``). Knows nothing of gateways."""
