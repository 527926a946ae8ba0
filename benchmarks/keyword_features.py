"""The features of MLPerf Tiny's keyword network (`kws_ref_model`), as its authors make them.

One second of 16 kHz sound, divided by its largest reading, becomes 49 frames of 10 mel-frequency
cepstral coefficients (MFCC): windows of 30 ms every 20 ms, a Hann window, a Fourier transform of
512 points, 40 triangular mel bands from 20 to 4,000 Hz, log(x + 1e-6), and the first 10
coefficients of an orthonormal cosine transform (the first one is that times sqrt 2). These are the
defaults of the benchmark's `kws_util.py` and the arithmetic of `tf.signal`, here in float64.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

RATE = 16_000
FRAMES, COEFFICIENTS = 49, 10
STEP, WINDOW = 320, 480
_FFT, _BANDS = 512, 40
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 4000.0
_FLOOR = 1e-6

Real = npt.NDArray[np.float64]


def mfcc(sound: npt.NDArray[np.int16] | Real) -> Real:
    """Coefficients (49, 10, 1) of a clip of at most one second; shorter ones end in silence.

    `sound` is mono at 16 kHz, any unit.
    """
    clip = np.zeros(RATE)
    kept = np.asarray(sound, np.float64)[:RATE]
    loudest = kept.max(initial=0.0)
    clip[: len(kept)] = kept / loudest if loudest > 0 else kept
    starts = STEP * np.arange(FRAMES)[:, None]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(clip[starts + np.arange(WINDOW)] * hann, _FFT))
    log_mel = np.log(spectrum @ _mel_bands() + _FLOOR)
    cepstrum = dct(log_mel, type=2, axis=-1) / np.sqrt(2 * _BANDS)
    return np.asarray(cepstrum[:, :COEFFICIENTS, None])


def _mel(hertz: Real) -> Real:
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))


@cache
def _mel_bands() -> Real:
    """Weights (bins, bands): triangles on the mel scale; the bin of 0 Hz belongs to none."""
    bins = _mel(np.linspace(0, RATE / 2, _FFT // 2 + 1))[:, None]
    edges = _mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    points = np.linspace(edges[0], edges[1], _BANDS + 2)
    low, middle, high = points[:-2], points[1:-1], points[2:]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    weights = np.maximum(0, np.minimum(rise, fall))
    weights[0] = 0
    return np.asarray(weights)
