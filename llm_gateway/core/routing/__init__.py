"""Where a call goes, what happens when that fails, and who has to wait: decisions only, no I/O."""
