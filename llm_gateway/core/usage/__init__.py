"""How much of what one attempt used: read out of the provider's answer, or estimated where it did not come to say."""
