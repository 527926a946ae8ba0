"""What training biases and weights is worth: measured by ablation, or estimated."""
