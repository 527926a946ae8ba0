"""The choices that the numerics leave open, decided on the validation split of clothing10.

    python benchmarks/ablation.py [--part lr|formats] [--seeds 3] [--epochs 3]

`lr` compares learning rates, `formats` the formats of trained biases and of the head. The test
split is never touched. Results are kept in `out/ablation.json`; the script resumes.
"""

from __future__ import annotations

import argparse
import statistics

from accuracy import OUT, Key, run_all

from microtune.simulate.trainer import DEFAULT_LEARNING_RATE

MODEL, DATA, SCHEME = "mcunet-5fps", "clothing10.tar", "99KB"
RATES = (0.0005, 0.001, 0.002, 0.004)
FORMATS = (("int32", "int16"), ("int16", "int16"), ("int32", "float32"), ("int16", "float32"))


def main() -> None:
    """Run a part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=("lr", "formats"), default="formats")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    settings = (
        [(rate, *FORMATS[0]) for rate in RATES] if options.part == "lr"
        else [(DEFAULT_LEARNING_RATE, *formats) for formats in FORMATS]
    )  # fmt: skip
    keys: list[Key] = [
        (MODEL, DATA, SCHEME, seed, options.epochs, rate, True, bias, head)
        for rate, bias, head in settings for seed in range(options.seeds)
    ]  # fmt: skip
    results = run_all(keys, OUT / "ablation.json", options.workers)
    print(f"\n{MODEL}, {DATA}, {SCHEME}, validation split, {options.epochs} epochs")
    print(f"{'lr':>7} {'bias':>6} {'head':>8} {'accuracy':>22} {'mean':>6}")
    for rate, bias, head in settings:
        rows = [r for r in results if (r["lr"], r["bias"], r["head"]) == (rate, bias, head)]
        values = [100 * float(str(r["accuracy"])) for r in rows]
        listed = " ".join(f"{value:.1f}" for value in values)
        print(f"{rate:>7} {bias:>6} {head:>8} {listed:>22} {statistics.mean(values):6.2f}")


if __name__ == "__main__":
    main()
