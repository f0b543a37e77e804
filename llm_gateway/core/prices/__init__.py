"""What it costs: rates by provider and model, and money as whole numbers."""
