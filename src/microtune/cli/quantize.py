"""The command `quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.api.quantizing import DEFAULT_SAMPLES, Values
from microtune.cli.bars import Bars, say
from microtune.cli.options import JsonFile
from microtune.report.console import console
from microtune.report.json_file import check_json_place, write_json


def quantize(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A float network: a .pt2 file.")],
    data: Annotated[
        Path, typer.Option(help="Pictures to calibrate with, or a .npy file of samples (N, …).")
    ],
    output: Annotated[Path, typer.Option("-o", metavar="NAME.mt", help="The file to write.")],
    values: Annotated[
        Values, typer.Option(help="The range of a picture as the network takes it.")
    ] = "auto",
    mean: Annotated[
        str, typer.Option(help="The network takes (x - mean)/std of 0 to 1: 0.485,0.456,0.406.")
    ] = "",
    std: Annotated[str, typer.Option(help="See --mean.")] = "",
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Use at most so many samples.")]
    = DEFAULT_SAMPLES,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Quantise a float network to int8: ranges by calibration, a table of what each layer lost."""
    from microtune.report.quantized_text import render

    check_json_place(json_file)
    if output.suffix != ".mt":
        raise mt.MicrotuneError(f"{output}: a native model file is called NAME.mt")
    with Bars() as bars:
        made = mt.quantize(
            model, data, values=values, mean=_numbers("--mean", mean), std=_numbers("--std", std),
            samples=samples, progress=bars, note=say,
        )  # fmt: skip
        accuracy = None if data.suffix == ".npy" else made.accuracy(data, progress=bars)
    mt.save(made, output)
    assert made.quantization is not None
    console.print(render(made.quantization, accuracy))
    console.print(f"{output}: {made.graph.name}, sha256 {made.sha256()}")
    write_json(json_file, made.quantization.to_json())


def _numbers(option: str, text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise mt.MicrotuneError(f"{option} {text!r}: give numbers such as 0.5,0.5,0.5") from None
