"""From ``keys.json`` and ``aiservices.json`` to frozen values, with errors that name file, line and field."""
