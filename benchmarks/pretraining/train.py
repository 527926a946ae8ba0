"""Float pre-training: which class is it and, for the rotation variant, which way up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pretraining.data import Samples
from pretraining.network import Network, to_input

BATCH = 128
ROTATIONS = 4
PEAK_RATE = 4e-3
WEIGHT_DECAY = 0.02


def augment(x: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Mirror, small affine change, contrast and one erased square; background stays at -1."""
    n = len(x)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=random) * (high - low) + low

    angle, scale, mirror = uniform(-0.2, 0.2), uniform(0.85, 1.2), uniform(-1, 1).sign()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift_x, shift_y = uniform(-0.15, 0.15), uniform(-0.15, 0.15)
    matrix = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], 1)
    grid = functional.affine_grid(matrix.view(n, 2, 3), list(x.shape), align_corners=False)
    brightness = functional.grid_sample(x + 1, grid, align_corners=False)
    brightness = (brightness * uniform(0.6, 1.3).view(n, 1, 1, 1)).clamp(0, 255 / 128)
    rows = torch.arange(28).view(1, 1, 28, 1) / 28
    half = uniform(0, 0.2).view(n, 1, 1, 1)
    y, z = uniform(0, 1).view(n, 1, 1, 1), uniform(0, 1).view(n, 1, 1, 1)
    erased = ((rows - y).abs() < half) & ((rows.transpose(2, 3) - z).abs() < half)
    return brightness.masked_fill(erased, 0.0) - 1


def rotate(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Quarter turns, one number per image."""
    result = torch.empty_like(x)
    for k in range(ROTATIONS):
        result[turns == k] = torch.rot90(x[turns == k], k, (2, 3))
    return result


def train_network(
    samples: Samples, classes: int, *, rotations: bool, epochs: int, seed: int
) -> Network:
    """AdamW with a one-cycle rate. With `rotations` the label is class·4 + quarter turns."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    network = Network(classes * ROTATIONS if rotations else classes)
    images, labels = to_input(samples.images), torch.from_numpy(samples.labels)
    steps = epochs * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(labels), generator=random)
        total = 0.0
        for batch in order[: len(labels) // BATCH * BATCH].view(-1, BATCH):
            x, target = augment(images[batch], random), labels[batch]
            if rotations:
                turns = torch.randint(ROTATIONS, (len(batch),), generator=random)
                x, target = rotate(x, turns), target * ROTATIONS + turns
            loss = functional.cross_entropy(network(x), target)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs} loss {total * BATCH / len(labels):.4f}", flush=True)
    return network.eval()


def pooled_features(network: Network, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, FEATURES) of the float network."""
    network.eval()
    with torch.no_grad():
        parts = [network.features(part) for part in torch.split(to_input(images), 500)]
    features: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return features
