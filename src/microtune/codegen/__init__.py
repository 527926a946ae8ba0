"""Plan -> C text and project files. Knows nothing of importers."""
