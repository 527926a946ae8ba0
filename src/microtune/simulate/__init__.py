"""Ways to run a graph: the numpy interpreter, the host library, the emulated chip."""
