"""The C runtime, and which files it is made of (`files`)."""
