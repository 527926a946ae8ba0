"""What a firmware costs: memory, instructions, stack, cycles."""
