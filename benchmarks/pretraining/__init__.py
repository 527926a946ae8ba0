"""Pre-training of the embedded model: data, float network, training, export."""
