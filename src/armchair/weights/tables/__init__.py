"""Key tables: the names of published networks and ours, as data."""
