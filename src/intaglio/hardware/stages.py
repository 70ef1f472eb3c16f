"""Pulse pipelines: what happens between an issuer and its outlet, with a fixed latency and no stall.

Each stage names its SystemVerilog module, mirrors that module's latency and supplies its parameters.
`in_bits`/`out_bits` are per lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from intaglio.hardware.memory import Memory

Parameter = int | str | Memory


class Stage(Protocol):
    """A module without back-pressure: pulses in, pulses out `latency` cycles later."""

    @property
    def module(self) -> str: ...
    @property
    def latency(self) -> int: ...
    @property
    def out_lanes(self) -> int: ...
    @property
    def out_bits(self) -> int: ...
    @property
    def out_signed(self) -> bool: ...
    def parameters(self) -> dict[str, Parameter]: ...


@dataclass(frozen=True)
class MatMulStage:
    """Folded multiply-accumulate array of `pe` rows by `simd` columns (`ig_matmul`).

    `form` and `form_parameters` say how weights are written (see `products`); `serial` multiplies one bit of the
    activations per cycle; `weight_shift` bits of each row's part of a word shift its products.
    """

    simd: int
    pe: int
    in_bits: int
    in_signed: bool
    weight_bits: int
    acc_bits: int
    weights: Memory
    dsp: bool
    form: int = 0
    form_parameters: Mapping[str, int | str] = field(default_factory=dict[str, int | str])
    form_latency: int = 0
    serial: bool = False
    weight_shift: int = 0
    activation_shift: int = 0
    module: str = "ig_matmul"
    out_signed: bool = True

    @property
    def latency(self) -> int:
        """ROM 2, products 1, a register every second tree level, what the form adds, shifts, accumulator 1."""
        shifted = self.weight_shift > 0 or self.activation_shift > 0
        return 2 + 1 + ceil((self.simd - 1).bit_length() / 2) + self.form_latency + self.serial + shifted + 1

    @property
    def out_lanes(self) -> int:
        return self.pe

    @property
    def out_bits(self) -> int:
        return self.acc_bits

    def parameters(self) -> dict[str, Parameter]:
        common: dict[str, Parameter] = {
            "SIMD": self.simd,
            "PE": self.pe,
            "A_BITS": self.in_bits,
            "A_SIGNED": int(self.in_signed),
            "W_BITS": self.weight_bits,
            "ACC_BITS": self.acc_bits,
            "STEPS": self.weights.depth,
            "FILE": self.weights,
            "DSP": int(self.dsp),
            "BLOCK": int(self.weights.in_block_ram()),
        }
        special = {
            "FORM": self.form,
            "SERIAL": int(self.serial),
            "W_SHIFT_BITS": self.weight_shift,
            "A_SHIFT_BITS": self.activation_shift,
        }
        return common | {key: value for key, value in special.items() if value} | dict(self.form_parameters)


@dataclass(frozen=True)
class PoolStage:
    """Maximum or sum over the beats of one window (`ig_pool`)."""

    lanes: int
    in_bits: int
    in_signed: bool
    out_bits: int
    total: bool
    module: str = "ig_pool"
    latency: int = 1

    @property
    def out_lanes(self) -> int:
        return self.lanes

    @property
    def out_signed(self) -> bool:
        return self.in_signed

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "SIGNED": int(self.in_signed),
            "OUT_BITS": self.out_bits,
            "SUM": int(self.total),
        }


@dataclass(frozen=True)
class RequantizeStage:
    """`clip((x * m + o) >> shift, low, high)` per channel (`ig_requantize`)."""

    lanes: int
    in_bits: int
    in_signed: bool
    out_bits: int
    out_signed: bool
    multiplier_bits: int
    offset_bits: int
    shift: int
    low: int
    high: int
    table: Memory
    dsp: bool
    block: bool = False
    module: str = "ig_requantize"
    latency: int = 4

    @property
    def out_lanes(self) -> int:
        return self.lanes

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "OUT_BITS": self.out_bits,
            "OUT_SIGNED": int(self.out_signed),
            "M_BITS": self.multiplier_bits,
            "O_BITS": self.offset_bits,
            "SHIFT": self.shift,
            "LOW": self.low,
            "HIGH": self.high,
            "WORDS": self.table.depth,
            "FILE": self.table,
            "DSP": int(self.dsp),
            "BLOCK": int(self.block),
        }


@dataclass(frozen=True)
class ThresholdStage:
    """`base + sum(x >= t_i)` per channel (`ig_threshold`)."""

    lanes: int
    in_bits: int
    in_signed: bool
    count: int
    base: int
    out_bits: int
    out_signed: bool
    table: Memory
    module: str = "ig_threshold"
    latency: int = 4

    @property
    def out_lanes(self) -> int:
        return self.lanes

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "COUNT": self.count,
            "BASE": self.base,
            "OUT_BITS": self.out_bits,
            "OUT_SIGNED": int(self.out_signed),
            "WORDS": self.table.depth,
            "FILE": self.table,
        }


@dataclass(frozen=True)
class ThresholdSearchStage:
    """The same by binary search (`ig_threshold_search`): one comparator and one memory for each bit of the count."""

    lanes: int
    in_bits: int
    in_signed: bool
    count: int
    base: int
    out_bits: int
    out_signed: bool
    tables: tuple[Memory, ...]
    module: str = "ig_threshold_search"

    @property
    def latency(self) -> int:
        """Memory and comparison of each level, then the base."""
        return 2 * len(self.tables) + 1

    @property
    def out_lanes(self) -> int:
        return self.lanes

    def parameters(self) -> dict[str, Parameter]:
        blocks = sum(1 << level for level, table in enumerate(self.tables) if table.in_block_ram())
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "COUNT": self.count,
            "BASE": self.base,
            "OUT_BITS": self.out_bits,
            "OUT_SIGNED": int(self.out_signed),
            "WORDS": self.tables[0].depth,
            "BLOCK": blocks,
            **{f"LEVEL{level}_FILE": table for level, table in enumerate(self.tables)},
        }


@dataclass(frozen=True)
class LookupStage:
    """`table[x - low]`, one table for all channels (`ig_lookup`)."""

    lanes: int
    in_bits: int
    in_signed: bool
    low: int
    out_bits: int
    out_signed: bool
    table: Memory
    module: str = "ig_lookup"
    latency: int = 2

    @property
    def out_lanes(self) -> int:
        return self.lanes

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "LOW": self.low,
            "OUT_BITS": self.out_bits,
            "DEPTH": self.table.depth,
            "FILE": self.table,
            "BLOCK": int(self.table.in_block_ram()),
        }


@dataclass(frozen=True)
class AlignStage:
    """Shared exponents of blocks of lanes (`ig_align`): whole values, or one exponent and the mantissas of one block.

    `mantissa` counts the sign.  `shift_bits`: of the exponent; 0 for whole values.
    """

    lanes: int
    in_bits: int
    in_signed: bool
    block: int
    mantissa: int
    shift_bits: int = 0
    module: str = "ig_align"

    @property
    def latency(self) -> int:
        """One cycle more to shift the mantissas back."""
        return 4 if self.shift_bits else 5

    @property
    def out_lanes(self) -> int:
        """One word of exponent and mantissas, or the values."""
        return 1 if self.shift_bits else self.lanes

    @property
    def out_bits(self) -> int:
        return self.shift_bits + self.lanes * self.mantissa if self.shift_bits else self.in_bits

    @property
    def out_signed(self) -> bool:
        return self.in_signed

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "BLOCK": self.block,
            "MANTISSA": self.mantissa,
            "FULL": int(not self.shift_bits),
            "SHIFT_BITS": max(self.shift_bits, 1),
        }


@dataclass(frozen=True)
class ArgMaxStage:
    """Index of the largest of `beats * lanes` values (`ig_argmax`)."""

    lanes: int
    in_bits: int
    in_signed: bool
    beats: int
    out_bits: int
    module: str = "ig_argmax"
    latency: int = 2
    out_lanes: int = 1
    out_signed: bool = False

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "BITS": self.in_bits,
            "SIGNED": int(self.in_signed),
            "BEATS": self.beats,
            "OUT_BITS": self.out_bits,
        }
