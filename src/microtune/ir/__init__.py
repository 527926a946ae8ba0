"""Graph, op table, verifier, textual form, model file. This room knows nobody above it."""
