"""How much a key, a group, a credential or everybody may use: the arithmetic of it, on numbers for time."""
