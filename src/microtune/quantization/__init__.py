"""Post-training quantisation: float convolutions -> int8 weights, int32 biases, int8 codes."""

from microtune.quantization.post_training import (
    choose_activation,
    fold_batch_norm,
    observed_range,
    quantize_bias,
    quantize_weight,
)

__all__ = [
    "choose_activation", "fold_batch_norm", "observed_range", "quantize_bias", "quantize_weight",
]  # fmt: skip
