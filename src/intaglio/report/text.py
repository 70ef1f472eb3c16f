"""Numbers as people read them."""


def number(value: float | None) -> str:
    """At most four significant digits below 10,000, whole with separators above; a dash for None."""
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) < 1e-3:
        return f"{value:.3g}".replace("-", "−")
    return f"{value:,.4g}".replace("-", "−")


def percent(value: float | None) -> str:
    """A value in percent with two decimals, or a dash."""
    return "–" if value is None else f"{value:.2f} %"


def points(value: float) -> str:
    """A signed difference of percentages."""
    return f"{value:+.2f} points".replace("-", "−")


def si(value: float, unit: str) -> str:
    """A value with an SI prefix: 4.2 kB, 92.1 MHz, 13 ns."""
    steps = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
    if value == 0:
        return f"0 {unit}"
    factor, prefix = next(((f, p) for f, p in steps if abs(value) >= f), steps[-1])
    return f"{value / factor:.3g} {prefix}{unit}".replace("-", "−")


def storage(bits: float) -> str:
    """An amount of storage, in bit below one kB and in kB or MB above."""
    return f"{number(bits)} bit" if bits < 8000 else si(bits / 8, "B")


def seconds(value: float | None) -> str:
    """A duration of a step."""
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 90 else f"{value / 60:.1f} min"
