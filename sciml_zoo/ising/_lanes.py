"""Metropolis updates of 64 replicas at once, one SIMD lane each: what annealing and tempering spend their time in.

A compiler does not vectorise this loop well by itself (mixed widths, aliasing), so the update of one spin is written
with LLVM's vector types, which any CPU's code generator turns into whatever it has (AVX-512, AVX2, NEON).

| symbol | here | shape |
|---|---|---|
| s | ``spins``, int8 | [n, 64] |
| local field Σ_j J_ij s_j + h_i | ``field``, float32, summed afresh at each update | 64 lanes |
| T/2 | ``half_temperature``, float32, of each lane | [64] |
| u | SFC32 random numbers, one generator a lane: ``state``, uint32 | [4, 64] |

A flip costs ΔE = 2 s·field and is accepted if ΔE ≤ −T ln u; ln u has an error below 2e-5. Energies that leave this
file are the caller's to sum again in float64.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["LANES", "seed_lanes", "update_unit", "update_weighted"]

LANES = 64

_I8, _I32, _F32 = ir.IntType(8), ir.IntType(32), ir.FloatType()
_BYTES, _WORDS, _FLOATS = (ir.VectorType(scalar, LANES) for scalar in (_I8, _I32, _F32))
_FAST = ("contract", "nsz", "nnan", "ninf")
# log2(1 + m) = m · polynomial(m) on [0, 1], highest power first; a least-squares fit on Chebyshev nodes.
_NODES = 0.5 - 0.5 * np.cos(np.pi * (np.arange(512) + 0.5) / 512)
_LOG2 = [float(c) for c in np.polyfit(_NODES, np.log2(1 + _NODES) / _NODES, 5)]


class _Lanes:
    """One LLVM vector, with operators."""

    def __init__(self, builder, value) -> None:
        self.builder, self.value = builder, value

    def constant(self, number: float) -> "_Lanes":
        kind = self.value.type
        return _Lanes(self.builder, ir.Constant(kind, [ir.Constant(kind.element, number)] * LANES))

    def _with(self, operation: str, other: "_Lanes | float", **options: object) -> "_Lanes":
        right = other if isinstance(other, _Lanes) else self.constant(other)
        return _Lanes(self.builder, getattr(self.builder, operation)(self.value, right.value, **options))

    @property
    def _is_float(self) -> bool:
        return self.value.type.element == _F32

    def __add__(self, other: "_Lanes | float") -> "_Lanes":
        return self._with("fadd", other, flags=_FAST) if self._is_float else self._with("add", other)

    def __sub__(self, other: "_Lanes | float") -> "_Lanes":
        return self._with("fsub", other, flags=_FAST) if self._is_float else self._with("sub", other)

    def __mul__(self, other: "_Lanes | float") -> "_Lanes":
        return self._with("fmul", other, flags=_FAST)

    def __xor__(self, other: "_Lanes | int") -> "_Lanes":
        return self._with("xor", other)

    def __or__(self, other: "_Lanes | int") -> "_Lanes":
        return self._with("or_", other)

    def __and__(self, other: "_Lanes | int") -> "_Lanes":
        return self._with("and_", other)

    def __lshift__(self, bits: int) -> "_Lanes":
        return self._with("shl", bits)

    def __rshift__(self, bits: int) -> "_Lanes":
        return self._with("lshr", bits)

    def to_float(self) -> "_Lanes":
        return _Lanes(self.builder, self.builder.sitofp(self.value, _FLOATS))

    def bits_as(self, kind: ir.Type) -> "_Lanes":
        return _Lanes(self.builder, self.builder.bitcast(self.value, kind))


def _load(builder, pointer, kind, align):
    return _Lanes(builder, builder.load(builder.bitcast(pointer, kind.as_pointer()), align=align))


def _store(builder, lanes, pointer, align):
    builder.store(lanes.value, builder.bitcast(pointer, lanes.value.type.as_pointer()), align=align)


def _splat(builder, scalar, kind):
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    mask = ir.Constant(ir.VectorType(_I32, LANES), [ir.Constant(_I32, 0)] * LANES)
    return _Lanes(builder, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), mask))


def _random_words(builder, state):
    """Returns the numbers of one step of SFC32 (Doty-Humphrey, PractRand) in every lane."""
    places = [builder.gep(state, [ir.Constant(ir.IntType(64), LANES * k)]) for k in range(4)]
    a, b, c, counter = (_load(builder, place, _WORDS, 4) for place in places)
    out = a + b + counter
    rotated = (c << 21) | (c >> 11)
    for place, value in zip(places, (b ^ (b >> 9), c + (c << 3), rotated + out, counter + 1), strict=True):
        _store(builder, value, place, 4)
    return out


def _minus_log(words: _Lanes) -> _Lanes:
    """Returns −ln u of u = (word's upper 24 bits + ½) / 2^24, by exponent and mantissa."""
    x = (words >> 8).to_float() + 0.5
    bits = x.bits_as(_WORDS)
    exponent = (bits >> 23).to_float()
    m = ((bits & 0x7FFFFF) | 0x3F800000).bits_as(_FLOATS) - 1.0
    polynomial = m.constant(_LOG2[0])
    for coefficient in _LOG2[1:]:
        polynomial = polynomial * m + coefficient
    return (polynomial * m + (exponent - (127.0 + 24.0))) * (-float(np.log(2.0)))


def _metropolis(builder, spin_place, field, half_temperature, state, change):
    """Flips the lanes that accept, and adds s·field of these (half of ΔE) to ``change``."""
    spin = _load(builder, spin_place, _BYTES, 1)
    cost = _Lanes(builder, builder.sitofp(spin.value, _FLOATS)) * field
    limit = _minus_log(_random_words(builder, state)) * _load(builder, half_temperature, _FLOATS, 4)
    accepted = builder.fcmp_ordered("<=", cost.value, limit.value)
    flipped = builder.select(accepted, (spin.constant(0) - spin).value, spin.value)
    _store(builder, _Lanes(builder, flipped), spin_place, 1)
    paid = _Lanes(builder, builder.select(accepted, cost.value, cost.constant(0.0).value))
    _store(builder, _load(builder, change, _FLOATS, 4) + paid, change, 4)


def _pointers(context, builder, signature, arguments, count):
    pairs = list(zip(signature.args, arguments, strict=True))[:count]
    return [context.make_array(kind)(context, builder, value).data for kind, value in pairs]


def _row(builder, spins, i):
    return builder.gep(spins, [builder.mul(i, ir.Constant(i.type, LANES))])


def _neighbours(builder, spins, indices, start, stop):
    """A loop over CSR entries start … stop.

    Yields:
        The entry's number and its neighbour's spins.
    """
    with cgutils.for_range_slice(builder, start, stop, ir.Constant(start.type, 1)) as (k, _):
        j = builder.zext(builder.load(builder.gep(indices, [k])), ir.IntType(64))
        yield k, _load(builder, _row(builder, spins, j), _BYTES, 1)


@intrinsic
def update_unit(_, spins, indices, half_temperature, state, change, i, start, middle, stop, scale, field):
    """Returns the code that updates spin i where couplings are ±scale: CSR entries up to middle are +, the rest −."""
    signature = types.void(spins, indices, half_temperature, state, change, i, start, middle, stop, scale, field)

    def generate(context, builder, signature, arguments):
        spins, indices, half, state, change = _pointers(context, builder, signature, arguments, 5)
        i, start, middle, stop, scale, field = arguments[5:]
        total = cgutils.alloca_once_value(builder, ir.Constant(_BYTES, [ir.Constant(_I8, 0)] * LANES))
        for _, spin in _neighbours(builder, spins, indices, start, middle):
            builder.store((_Lanes(builder, builder.load(total)) + spin).value, total)
        for _, spin in _neighbours(builder, spins, indices, middle, stop):
            builder.store((_Lanes(builder, builder.load(total)) - spin).value, total)
        local = _Lanes(builder, builder.sitofp(builder.load(total), _FLOATS))
        local = local * _splat(builder, scale, _FLOATS) + _splat(builder, field, _FLOATS)
        _metropolis(builder, _row(builder, spins, i), local, half, state, change)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def update_weighted(_, spins, indices, values, half_temperature, state, change, i, start, stop, field):
    """Returns the code that updates spin i with any couplings, ``values`` float32 of CSR entries start … stop."""
    signature = types.void(spins, indices, values, half_temperature, state, change, i, start, stop, field)

    def generate(context, builder, signature, arguments):
        spins, indices, values, half, state, change = _pointers(context, builder, signature, arguments, 6)
        i, start, stop, field = arguments[6:]
        total = cgutils.alloca_once_value(builder, _splat(builder, field, _FLOATS).value)
        for k, spin in _neighbours(builder, spins, indices, start, stop):
            weight = _splat(builder, builder.load(builder.gep(values, [k])), _FLOATS)
            lanes = _Lanes(builder, builder.sitofp(spin.value, _FLOATS))
            builder.store((_Lanes(builder, builder.load(total)) + weight * lanes).value, total)
        local = _Lanes(builder, builder.load(total))
        _metropolis(builder, _row(builder, spins, i), local, half, state, change)
        return context.get_dummy_value()

    return signature, generate


@numba.njit(cache=True, nogil=True)
def seed_lanes(seed: int, first: int, state: np.ndarray) -> None:
    """Fills SFC32 states [4, lanes] of replicas first, first + 1, …: each depends on seed and replica number only."""
    for lane in range(state.shape[1]):
        z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(first + lane) * np.uint64(0xD1342543DE82EF95)
        for k in range(3):
            z += np.uint64(0x9E3779B97F4A7C15)
            y = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            y = (y ^ (y >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state[k, lane] = np.uint32((y ^ (y >> np.uint64(31))) & np.uint64(0xFFFFFFFF))
        state[3, lane] = np.uint32(1)
        for _ in range(12):
            a, b, c, counter = state[0, lane], state[1, lane], state[2, lane], state[3, lane]
            out = np.uint32(a + b + counter)
            state[3, lane] = np.uint32(counter + np.uint32(1))
            state[0, lane] = b ^ (b >> np.uint32(9))
            state[1, lane] = np.uint32(c + np.uint32(c << np.uint32(3)))
            state[2, lane] = np.uint32(np.uint32(np.uint32(c << np.uint32(21)) | (c >> np.uint32(11))) + out)
