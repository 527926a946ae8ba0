"""Graph to graph, one pass a file; each verifies the graph that it returns."""
