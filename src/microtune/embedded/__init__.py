"""The embedded default: a small pre-trained network and a labelled data set it has never seen.

`fashion5.mt` was pre-trained by `benchmarks/pretrain_embedded.py` on shoes, trousers and bags;
`fashion_tops.npz` (MIT licence, beside it) holds five kinds of tops for it to learn.
"""

from pathlib import Path

MODEL = Path(__file__).with_name("fashion5.mt")
DATA = Path(__file__).with_name("fashion_tops.npz")

__all__ = ["DATA", "MODEL"]
