"""From an int8 graph to one training graph: head, scheme, gradient rules."""
