"""What a selection costs: planned memory, lower bounds, and candidates that can be afforded."""
