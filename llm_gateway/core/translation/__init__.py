"""From any dialect to any other, by way of one neutral conversation."""
