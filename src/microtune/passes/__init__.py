"""Graph to graph, one pass a file; the verifier runs before and after each."""
