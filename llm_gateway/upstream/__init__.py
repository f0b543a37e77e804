"""The side that faces providers: one attempt over treq, the relay with back-pressure, the clocks, the prober."""
