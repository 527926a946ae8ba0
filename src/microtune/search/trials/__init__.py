"""Training runs of a search: one run, many through the cache, and what one gains over another."""
