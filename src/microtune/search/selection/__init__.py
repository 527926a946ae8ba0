"""The selection of largest predicted gain within the limits: exact, evolutionary, random."""
