"""Bits shared out among parts of a network: the least noise within a budget of storage."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from intaglio.ir.errors import RangeError

WIDTHS = range(2, 17)
"""Bits that a value may have."""

TOLERANCE = 1e-3
"""By how much, relative, another choice may have less noise."""


def share(curves: Sequence[Sequence[float]], sizes: Sequence[int], average: float) -> list[int]:
    """Bits for parts of `sizes` values, within `average` bits per value, of nearly the least total noise.

    `curves[part][bits - 2]` is the noise of a part. No other choice has less noise by more than 0.1 %: dynamic
    programming over the parts, largest first, keeps what nothing beats in storage and noise, and what marginal
    analysis of the parts to come does not exclude from beating the greedy choice by that much.

    Raises:
        RangeError: `average` is less than 2.
    """
    room = math.floor(average * sum(sizes)) - WIDTHS[0] * sum(sizes)
    if room < 0:
        raise RangeError(f"an average of {average:g} bits: every value needs at least {WIDTHS[0]}")
    order = sorted(range(len(sizes)), key=lambda part: -sizes[part])
    noise = np.array([curves[part] for part in order], dtype=np.float64)
    prices = np.outer([sizes[part] for part in order], np.arange(len(WIDTHS)))
    best = _greedy(noise, prices, room)
    worth = (1 - TOLERANCE) * noise[range(len(order)), best].sum()
    states = np.zeros((1, 2 + len(order)))  # storage, noise, the choice for each part
    for k, (curve, price) in enumerate(zip(noise, prices, strict=True)):
        states = np.repeat(states, len(WIDTHS), axis=0)
        states[:, 2 + k] = np.tile(np.arange(len(WIDTHS)), len(states) // len(WIDTHS))
        states[:, 0] += np.tile(price, len(states) // len(WIDTHS))
        states[:, 1] += np.tile(curve, len(states) // len(WIDTHS))
        states = states[states[:, 0] <= room]
        states = states[states[:, 1] + _least(noise[k + 1 :], prices[k + 1 :], room - states[:, 0]) < worth]
        states = states[np.lexsort((states[:, 1], states[:, 0]))]
        before = np.minimum.accumulate(np.concatenate([[np.inf], states[:, 1]]))[:-1]
        states = states[states[:, 1] < before]
    if len(states):
        best = states[states[:, 1].argmin(), 2:].astype(int).tolist()
    return [WIDTHS[best[order.index(part)]] for part in range(len(sizes))]


def _steps(noise: np.ndarray, prices: np.ndarray) -> list[tuple[float, int, int, int]]:
    """The marginal steps (gain per bit of storage, part, from, to), largest gain first."""
    steps = [
        (float(curve[a] - curve[b]) / float(price[b] - price[a]), part, a, b)
        for part, (curve, price) in enumerate(zip(noise, prices, strict=True))
        for a, b in pairwise(_hull(curve))
    ]
    return sorted(steps, key=lambda step: -step[0])


def _least(noise: np.ndarray, prices: np.ndarray, room: np.ndarray) -> np.ndarray:
    """A lower bound of the noise of these parts within `room` more bits: steps may be taken in part."""
    steps = _steps(noise, prices)
    cost = np.cumsum([0.0, *(prices[part, b] - prices[part, a] for _, part, a, b in steps)])
    gain = np.cumsum([0.0, *(noise[part, a] - noise[part, b] for _, part, a, b in steps)])
    return noise[:, 0].sum() - np.interp(room, cost, gain)


def _greedy(noise: np.ndarray, prices: np.ndarray, room: float) -> list[int]:
    """The choice for each part when the steps are taken in order, as far as they fit."""
    chosen = [0] * len(noise)
    stopped: set[int] = set()
    for _, part, a, b in _steps(noise, prices):
        cost = prices[part, b] - prices[part, a]
        if part not in stopped and cost <= room:
            chosen[part], room = b, room - cost
        else:
            stopped.add(part)
    return chosen


def _hull(curve: np.ndarray) -> list[int]:
    """Where a curve touches its falling lower convex hull."""
    kept = [0]
    for k in range(1, len(curve)):
        if curve[k] >= curve[kept[-1]]:
            continue
        while len(kept) > 1 and _slope(curve, kept[-2], kept[-1]) >= _slope(curve, kept[-1], k):
            kept.pop()
        kept.append(k)
    return kept


def _slope(curve: np.ndarray, a: int, b: int) -> float:
    return float(curve[b] - curve[a]) / (b - a)
