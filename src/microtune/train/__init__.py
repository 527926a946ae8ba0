"""The training loop over images: seeds, sessions, evaluation."""
