"""What compiled code here needs of the machine: two operations that Python has no words for, and unsigned positions.

Both operations leave bounds unchecked, like every compiled array access here. Positions in inner loops are unsigned: of a signed one,
compiled code tests at every access whether it counts from the end, which takes a quarter to half of the time of these loops.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


def _prefetch(_typing_context: Any, array: Any, _index: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        i32 = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, i32, i32, i32])
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
        # read, keep in every cache level, data cache
        builder.call(function, [pointer, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


def _add_pair(_typing_context: Any, array: Any, _index: Any, _first: Any, _second: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        i32, pair = ir.IntType(32), ir.VectorType(ir.IntType(64), 2)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), pair.as_pointer())
        addend = builder.insert_element(ir.Constant(pair, ir.Undefined), arguments[2], i32(0))
        addend = builder.insert_element(addend, arguments[3], i32(1))
        total = builder.load(pointer)
        total.align = 8
        builder.store(builder.add(total, addend), pointer).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64, types.int64), codegen


# Annotated as Any: what `intrinsic` returns takes the arguments without the typing context, which no annotation can say.
prefetch: Any = intrinsic(_prefetch)
"""``prefetch(array, index)``: ask for the cache line of ``array[index]``, to be read soon. Changes nothing else."""

add_pair: Any = intrinsic(_add_pair)
"""``add_pair(array, index, a, b)``: add a and b to two neighbouring int64 in one load, one addition and one store.

The compiler does not join the two additions by itself; joined, a histogram takes two thirds of the time.
"""
