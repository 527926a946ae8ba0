"""Class-balanced sampling: which images an epoch shows, in which order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtune.data import epoch_order
from microtune.ir import numerics

_SITE = 0x62616C61


def balanced_order(labels: npt.NDArray[np.int32], seed: int, epoch: int) -> list[int]:
    """An epoch's order in which every class comes equally often: indices, as many as labels.

    Of N samples and K classes each class gets N // K places; the N mod K places that remain go to K
    classes in turn, epoch after epoch. A class fills its places with its samples in the epoch's
    order (`epoch_order`), and starts again at the first when all have been used. The places are
    then shuffled by random words of their own.
    """
    order = epoch_order(len(labels), seed, epoch)
    present = np.unique(labels)
    share, rest = divmod(len(labels), len(present))
    chosen = []
    for rank, label in enumerate(present):
        own = order[labels[order] == label]
        extra = (rank - epoch * rest) % len(present) < rest
        chosen.append(np.resize(own, share + extra))
    places = np.concatenate(chosen)
    key = numerics.random_key(seed, epoch, _SITE)
    words = numerics.random_word(key, np.arange(len(places), dtype=np.int64))
    return [int(index) for index in places[np.argsort(words, kind="stable")]]
