"""Which weights deserve the memory: contributions, selection under a budget, verification."""
