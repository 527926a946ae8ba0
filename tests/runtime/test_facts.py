"""What Python and C both say is the same: numbers, enumerators, layouts of structures."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from microtune.ir import numerics
from microtune.ir.convolution import ConvKind
from microtune.ir.ops.convolution import IN_PLACE_CHANNELS
from microtune.project import learnt
from microtune.run import host, job
from microtune.runtime import facts
from microtune.runtime.files import RUNTIME, RUNTIME_INCLUDES
from tests.runtime import runtime_native as native

# The numpy meaning has its own numbers, because it is the specification. (Python, C file, C name)
TWINS: tuple[tuple[int, str, str], ...] = (
    (numerics.NUMERICS_VERSION, "core/mt_context.h", "MT_NUMERICS_VERSION"),
    (numerics.GRADIENT_MAX, "portable/mt_numerics.h", "MT_GRADIENT_MAX"),
    (numerics.INT32_MAX, "portable/mt_numerics.h", "MT_INT32_MAX"),
    (IN_PLACE_CHANNELS, "portable/mt_numerics.h", "MT_BLOCK"),
    (learnt._HEADER.size, "core/mt_save.c", "HEADER_BYTES"),
    (learnt._STATE.size, "core/mt_save.c", "STATE_BYTES"),
    (int.from_bytes(job._MAGIC, "little"), "port/harness.c", "JOB_MAGIC"),
    (job._VERSION, "port/harness.c", "JOB_VERSION"),
    (job._MEASURE, "port/harness.c", "FLAG_MEASURE"),
)
# (Python, name in mt_numerics.h): powers of two.
LIMITS = (
    (numerics.BIAS_MAX, "MT_BIAS_MAX"), (numerics.WEIGHT_STEP_LIMIT, "MT_WEIGHT_STEP_LIMIT"),
    (numerics.BIAS_STEP_LIMIT, "MT_BIAS_STEP_LIMIT"),
    (numerics.INT16_STEP_LIMIT, "MT_INT16_STEP_LIMIT"),
)  # fmt: skip
# The ctypes structures of the product and of the tests, the C types that they are, and the names of
# members that differ.
LAYOUTS: dict[type[ctypes.Structure], tuple[str, ...]] = {
    host._Memory: ("mt_memory",),
    host._Change: ("mt_augmentation",),
    host._Target: ("mt_target",),
    host._Result: ("mt_result",),
    native.ConvShape: ("mt_conv_shape",),
    native.StepState: ("mt_step_state",),
    native.RoundParams: ("mt_round_params",),
    native.RoundIo: ("mt_round_io",),
    native.ConvParams: ("mt_conv2d_params",),
    native.ConvIo: ("mt_conv2d_io",),
    native.AddParams: ("mt_add_params",),
    native.AddIo: ("mt_add_io",),
    native.PoolParams: ("mt_pool_params",),
    native.PoolIo: ("mt_pool_io",),
    native.ClampParams: ("mt_clamp_params",),
    native.ClampIo: ("mt_clamp_io",),
    native.GatherParams: ("mt_gather_params",),
    native.DeltaParams: ("mt_bias_delta_params",),
    native.DeltaIo: ("mt_bias_delta_io",),
    native.HeadParams: ("mt_head_params",),
    native.HeadIo: ("mt_head_int16_io", "mt_head_float32_io"),
    native.LossParams: ("mt_loss_params",),
    native.LossIo: ("mt_loss_int16_io", "mt_loss_float32_io"),
    native.HeadGradParams: ("mt_head_input_grad_params",),
    native.HeadGradIo: ("mt_head_input_grad_int16_io", "mt_head_input_grad_float32_io"),
    native.ConvGradParams: ("mt_conv2d_input_grad_params",),
    native.ConvGradIo: ("mt_conv2d_input_grad_io",),
    native.SumParams: ("mt_gradient_sum_params",),
    native.SumIo: ("mt_gradient_sum_io",),
    native.PoolGradParams: ("mt_average_pool_grad_params",),
    native.PoolGradIo: ("mt_average_pool_grad_io",),
    native.MaskParams: ("mt_mask_params",),
    native.MaskIo: ("mt_mask_io",),
    native.FactorParams: ("mt_factor_params",),
    native.WeightUpdateParams: ("mt_conv2d_weight_update_params",),
    native.WeightUpdateIo: ("mt_conv2d_weight_update_io",),
    native.BiasUpdateParams: ("mt_bias_update_params",),
    native.BiasUpdateIo: ("mt_bias_update_int32_io", "mt_bias_update_int16_io"),
    native.HeadUpdateParams: ("mt_head_update_params",),
    native.HeadUpdateIo: ("mt_head_update_int16_io", "mt_head_update_float32_io"),
}
RENAMED = {
    ("mt_bias_update_int32_io", "value"): "bias", ("mt_bias_update_int16_io", "value"): "delta",
}  # fmt: skip


@pytest.mark.parametrize(("value", "file", "name"), TWINS, ids=lambda part: str(part))
def test_numbers_are_those_of_the_c(value: int, file: str, name: str) -> None:
    assert facts.constants(file)[name] == value


@pytest.mark.parametrize(("value", "name"), LIMITS)
def test_limits_are_those_of_the_c(value: int, name: str) -> None:
    text = (RUNTIME / "portable/mt_numerics.h").read_text()
    found = re.search(rf"^#define {name} \(INT(?:32|64)_C\(1\) << (\d+)\)$", text, re.MULTILINE)
    assert found is not None
    assert value == 1 << int(found[1])


def enumerators(file: str, first: str) -> list[str]:
    """The names of the enumeration that begins with `first`."""
    text = re.sub(r"/\*.*?\*/", "", (RUNTIME / file).read_text(), flags=re.DOTALL)
    (body,) = re.findall(rf"enum\s*\{{\s*({first}\b[^}}]*)\}}", text)
    return [entry.partition("=")[0].strip() for entry in body.split(",")]


def test_enumerators_are_those_of_the_c() -> None:
    kinds = enumerators("port/harness_calls.h", "HARNESS_TRAIN")
    calls = [getattr(job.Call, kind.removeprefix("HARNESS_")) for kind in kinds]
    assert calls == list(job._CALLS)
    assert len(enumerators("include/microtune.h", "MT_OK")) == len(host.STATUS)
    assert enumerators("portable/mt_types.h", "MT_DENSE") == [kind.value for kind in ConvKind]


def test_layouts_are_those_of_the_c(tmp_path: Path) -> None:
    """One C program prints the size and every offset."""
    expected: list[str] = []
    lines: list[str] = []
    for struct, types in LAYOUTS.items():
        for c_type in types:
            expected.append(f"{c_type} {ctypes.sizeof(struct)}")
            lines.append(f'    printf("{c_type} %zu\\n", sizeof({c_type}));')
            for name, *_ in struct._fields_:
                member = RENAMED.get((c_type, name), name)
                expected.append(f"{c_type}.{member} {getattr(struct, name).offset}")
                lines.append(
                    f'    printf("{c_type}.{member} %zu\\n", offsetof({c_type}, {member}));'
                )
    program = "\n".join([
        "#include <stddef.h>", "#include <stdio.h>", '#include "microtune_image.h"',
        '#include "mt_kernels.h"', "int main(void) {", *lines, "    return 0;", "}", "",
    ])  # fmt: skip
    (tmp_path / "layouts.c").write_text(program)
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Werror",
        *RUNTIME_INCLUDES,
        str(tmp_path / "layouts.c"),
    ]
    subprocess.run([*command, "-o", str(tmp_path / "layouts")], check=True, cwd=RUNTIME)
    printed = subprocess.run(
        [str(tmp_path / "layouts")], check=True, capture_output=True, text=True
    ).stdout
    assert printed.split("\n")[:-1] == expected
