"""Where counts are kept: in one process's memory, or in memory that the workers of one machine share."""
