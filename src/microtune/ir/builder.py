"""Convenience for importers and tests: append forward ops with shapes worked out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from microtune.ir.dilation import (
    Moves,
    Pads,
    Window,
    dilated,
    has_whole_phases,
    joined_phases,
    phases_of_kernel,
    spread,
)
from microtune.ir.graph import Array, Attr, Graph, Node, Quant, Tensor
from microtune.ir.ops import OPS


class Builder:
    """Builds a forward graph; every method returns the name of its result."""

    def __init__(self, name: str, requantize: str = "device") -> None:
        self.graph = Graph(name, {"requantize": requantize})

    def input(self, shape: Sequence[int], scale: float, zero_point: int) -> str:
        """The int8 input, (1, H, W, C) or (1, C), named `input`."""
        return self.graph.input("input", shape, "i8", Quant(float(scale), int(zero_point)))

    def apply(
        self, op: str, name: str, inputs: Sequence[str], quant: Quant | None, attrs: dict[str, Attr]
    ) -> str:
        """Append any forward op of one result: its tensors in order, quantisation, attributes."""
        node = Node(op, tuple(inputs), (name,), attrs)
        shape, dtype = OPS[op].shapes(self.graph, node)[0]
        self.graph.add_node(node, [Tensor(name, shape, dtype, "value", quant)])
        return name

    def _parameters(
        self, name: str, weight: Array, scales: npt.ArrayLike, bias: Array
    ) -> tuple[str, str]:
        per_channel = np.asarray(scales, dtype=np.float32)
        self.graph.constant(f"{name}.weight.scale", per_channel, "f32")
        quant = Quant(scales=f"{name}.weight.scale")
        return (
            self.graph.constant(f"{name}.weight", weight, "i8", quant),
            self.graph.constant(f"{name}.bias", bias, "i32"),
        )

    def conv2d(
        self, name: str, x: str, weight: Array, scales: npt.ArrayLike, bias: Array, quant: Quant,
        *, stride: Sequence[int] = (1, 1), padding: Sequence[int] = (0, 0, 0, 0), groups: int = 1,
        clamp: tuple[int, int] = (-128, 127), dilation: Sequence[int] = (1, 1), tied: int = 1,
    ) -> str:  # fmt: skip
        """Append a convolution; returns the name of its result.

        `weight` is int8 (O, KH, KW, I/groups), `scales` are float (O,), `bias` is int32 (O,).
        `padding` is (top, left, bottom, right), `quant` that of the result. With a `dilation` of
        more than 1 the convolution `name` has moves around it (`ir/dilation.py`). `tied` is of how
        many equal parts `bias` is made, which are trained as one.
        """
        kernel = (int(weight.shape[1]), int(weight.shape[2]))
        apart = [int(d) if k > 1 else 1 for d, k in zip(dilation, kernel, strict=True)]
        if apart != [1, 1]:
            pads = (padding[0], padding[1], padding[2], padding[3])
            window = Window(kernel, (apart[0], apart[1]), (stride[0], stride[1]), pads)
            return self._dilated(name, x, weight, window, lambda image, weight, around: self.conv2d(
                name, image, weight, scales, bias, quant, padding=around, groups=groups,
                clamp=clamp,
            ))  # fmt: skip
        w, b = self._parameters(name, weight, scales, bias)
        attrs: dict[str, Attr] = {
            "stride": list(stride), "padding": list(padding), "groups": groups,
        }  # fmt: skip
        if clamp != (-128, 127):
            attrs["clamp"] = list(clamp)
        if tied > 1:
            attrs["tied"] = tied
        return self.apply("conv2d", name, (x, w, b), quant, attrs)

    def transposed_conv2d(
        self, name: str, x: str, weight: Array, scales: npt.ArrayLike, bias: Array, quant: Quant,
        size: tuple[int, int], *, stride: tuple[int, int] = (1, 1), cut: tuple[int, int] = (0, 0),
        clamp: tuple[int, int] = (-128, 127),
    ) -> str:  # fmt: skip
        """Append a transposed convolution whose result is (1, *size, O); returns its name.

        x[i]·weight[k] counts for result i·stride + k - cut, `cut` (top, left). `weight` is int8
        (O, KH, KW, I). A kernel of a multiple of the stride becomes one convolution of x that makes
        all phases of the result as channels, with tied biases. Any other one becomes a convolution
        of x with zeros between its elements, by the kernel turned round (`ir/dilation.py`).
        Raises ValueError for a size that cannot be.
        """
        window = Window((weight.shape[1], weight.shape[2]), (1, 1), stride, (*cut, 0, 0))
        if has_whole_phases(self.graph.tensors[x].shape, window, size):
            taps = phases_of_kernel(weight, stride)
            parts, biases, per_channel = stride[0] * stride[1], np.asarray(bias), np.asarray(scales)
            return joined_phases(
                self.moves(), name, x, window, size, lambda image, around: self.conv2d(
                    name, image, taps, np.tile(per_channel, parts), np.tile(biases, parts), quant,
                    padding=around, clamp=clamp, tied=parts,
                ),
            )  # fmt: skip
        image, padding = spread(self.moves(), name, x, window, size)
        turned = np.ascontiguousarray(weight[:, ::-1, ::-1])
        return self.conv2d(
            name, image, turned, scales, bias, quant, padding=padding, clamp=clamp
        )  # fmt: skip

    def moves(self) -> Moves:
        """What appends reshapes, pads and transposes, each with the quantisation of its operand."""
        return Moves(
            self.graph, lambda op, name, x, attrs: self.apply(
                op, name, x, self.graph.tensors[x[0]].quant, attrs
            ),
        )  # fmt: skip

    def _dilated(
        self, name: str, x: str, weight: Array, w: Window,
        convolve: Callable[[str, Array, Pads], str],
    ) -> str:  # fmt: skip
        """A dilated convolution. A signal lies as a column, whose phases lie apart already; for a
        depthwise layer as a row, under whose kernel its fast loops run along."""
        moves, shape = self.moves(), self.graph.tensors[x].shape
        top, left, bottom, right = w.padding
        is_row = shape[1] == w.kernel[0] == 1 and not top + bottom
        is_column = shape[2] == w.kernel[1] == 1 and not left + right
        single = weight.shape[3] == 1 < shape[3]
        turned = (is_column if single else is_row) and is_row != is_column
        if turned:
            x = moves.reshaped(f"{name}.signal", x, (1, shape[2], shape[1], shape[3]))
            weight, w = weight.transpose(0, 2, 1, 3), w.turned()
        made = dilated(moves, name, x, w, lambda image, around: convolve(image, weight, around))
        _, height, width, channels = self.graph.tensors[made].shape
        return (
            moves.reshaped(f"{name}.back", made, (1, width, height, channels)) if turned else made
        )

    def fully_connected(
        self, name: str, x: str, weight: Array, scales: npt.ArrayLike, bias: Array, quant: Quant,
        *, clamp: tuple[int, int] = (-128, 127),
    ) -> str:  # fmt: skip
        """Append a fully connected layer of x (1, I); returns the name of its result.

        `weight` is int8 (O, I), `scales` are float (O,), `bias` is int32 (O,).
        """
        w, b = self._parameters(name, weight, scales, bias)
        attrs: dict[str, Attr] = {} if clamp == (-128, 127) else {"clamp": list(clamp)}
        return self.apply("fully_connected", name, (x, w, b), quant, attrs)

    def add(self, name: str, a: str, b: str, quant: Quant) -> str:
        """Append a residual add of two tensors; returns the name of its result."""
        return self.apply("add", name, (a, b), quant, {})

    def average_pool(
        self, name: str, x: str, kernel: Sequence[int] | None = None,
        stride: Sequence[int] | None = None,
    ) -> str:  # fmt: skip
        """Average pool; global where no kernel is given."""
        size = list(kernel) if kernel else list(self.graph.tensors[x].shape[1:3])
        attrs: dict[str, Attr] = {"kernel": size, "stride": list(stride) if stride else size}
        return self.apply("average_pool", name, (x,), self.graph.tensors[x].quant, attrs)

    def clamp(self, name: str, x: str, lo: int, hi: int) -> str:
        """Append a clamp of codes to lo..hi, such as a ReLU; returns the name of its result."""
        return self.apply("clamp", name, (x,), self.graph.tensors[x].quant, {"clamp": [lo, hi]})

    def reshape(self, name: str, x: str, shape: Sequence[int]) -> str:
        """The same elements in another shape."""
        return self.apply(
            "reshape", name, (x,), self.graph.tensors[x].quant, {"shape": list(shape)}
        )

    def finish(self, output: str) -> Graph:
        """Declare the output and return the graph."""
        self.graph.outputs.append(output)
        return self.graph
