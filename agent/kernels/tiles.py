"""A tile of a matrix product, computed in vector registers.

LLVM's loop vectorizer keeps running sums in memory, and on some processors uses only half of each register. This module
writes out the intended code: a tile of the result stays in registers while the sums run over all inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


def _has_wide_registers() -> bool:
    """Return whether the target processor of Numba has 32 vector registers of 16 float32 numbers each."""
    features = binding.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return "+avx512f" in features


# The sums of a tile must fit into the registers. A sum over inputs does not depend on the width.
_LANES = 16 if _has_wide_registers() else 8

TILE_OUTPUTS = 4
"""Number of rows of a tile, which are units of a layer."""
TILE_WIDTH = 2 * _LANES
"""Number of columns of a tile, which are environments."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_ALIGNMENT = 4


@intrinsic  # type: ignore[untyped-decorator]
def _multiply_tile(
    _context: Any,
    _weights: Any,
    _num_inputs: Any,
    _bias: Any,
    _inputs: Any,
    _outputs: Any,
    _width: Any,
    _column: Any,
    _output: Any,
) -> Any:
    array, index = types.Array(types.float32, 1, "C"), types.intp
    return types.void(array, index, array, array, array, index, index, index), _generate_tile


def _generate_tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    weights, num_inputs, bias, inputs, outputs, width, column, output = arguments
    num_outputs = context.make_array(signature.args[2])(context, builder, bias).nitems
    arrays = {"weights": (0, weights), "bias": (2, bias), "inputs": (3, inputs), "outputs": (4, outputs)}
    data = {
        name: context.make_array(signature.args[position])(context, builder, array).data
        for name, (position, array) in arrays.items()
    }
    vectors = range(TILE_WIDTH // _LANES)
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)

    def splat(pointer: Any) -> Any:
        one = builder.insert_element(undefined, builder.load(pointer), ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, undefined, first_lane)

    def lanes(name: str, row: Any, part: int) -> Any:
        start = builder.add(builder.add(builder.mul(row, width), column), ir.Constant(width.type, part * _LANES))
        return builder.bitcast(builder.gep(data[name], [start]), _VECTOR.as_pointer())

    sums = {}
    for o in range(TILE_OUTPUTS):
        first = splat(builder.gep(data["bias"], [builder.add(output, ir.Constant(width.type, o))]))
        for part in vectors:
            sums[o, part] = cgutils.alloca_once_value(builder, first)
    with cgutils.for_range(builder, num_inputs) as loop:
        row = builder.add(output, builder.mul(loop.index, num_outputs))
        columns = [builder.load(lanes("inputs", loop.index, part), align=_ALIGNMENT) for part in vectors]
        for o in range(TILE_OUTPUTS):
            weight = splat(builder.gep(data["weights"], [builder.add(row, ir.Constant(width.type, o))]))
            for part in vectors:
                product = builder.fmul(weight, columns[part], flags=["contract"])
                builder.store(builder.fadd(builder.load(sums[o, part]), product, flags=["contract"]), sums[o, part])
    for o in range(TILE_OUTPUTS):
        for part in vectors:
            target = lanes("outputs", builder.add(output, ir.Constant(width.type, o)), part)
            builder.store(builder.load(sums[o, part]), target, align=_ALIGNMENT)
    return context.get_dummy_value()


multiply_tile: Callable[..., None] = _multiply_tile
"""``multiply_tile(weights, num_inputs, bias, inputs, outputs, width, column, output)``, in jitted code only.

Writes ``outputs[o, j] = bias[o] + sum(weights[i, o] * inputs[i, j] for i in range(num_inputs))`` for ``TILE_OUTPUTS``
outputs starting at ``output`` and ``TILE_WIDTH`` columns starting at ``column``. All arrays are flat and float32:
``weights`` holds rows of ``bias.size`` entries, ``inputs`` and ``outputs`` rows of ``width``. Nothing is checked.
"""
