"""Gold computed a second time, one row at a time, by the books' formulas in plain Python.

Nothing here shares a line with `crypto_pipeline`: sums are exact (`Fraction`, `fsum`), loops are loops.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

Number = int | float | Fraction
Candle = tuple[Number, Number, Number, Number]  # open, high, low, close
Level = tuple[Fraction, Fraction]  # price, quantity


def same(found: float | None, expected: float | Fraction | None, scale: float = 1.0) -> bool:
    """Two figures agree to 1e-12, relative or of `scale`; nothing agrees with nothing only."""
    if found is None or expected is None:
        return found is None and expected is None
    return math.isclose(found, float(expected), rel_tol=1e-12, abs_tol=1e-12 * scale)


def log_change(before: Number, after: Number) -> float:
    """ln(after / before), from the exact difference."""
    return math.log1p(float((Fraction(after) - Fraction(before)) / Fraction(before)))


def volatility(
    candles: Mapping[int, Candle], at: int, minutes: int
) -> dict[str, float | int | None]:
    """The window of so many minutes that ends with the candle that starts at second `at`."""
    starts = sorted(start for start in candles if at - 60 * minutes <= start <= at)
    inner = [start for start in starts if start > at - 60 * minutes]
    closes = [candles[start][3] for start in starts]
    returns = [log_change(earlier, later) for earlier, later in itertools.pairwise(closes)]
    high_low = [log_change(candles[start][2], candles[start][1]) ** 2 for start in inner]
    close_open = [log_change(candles[start][0], candles[start][3]) ** 2 for start in inner]
    year_of_ranges = math.sqrt(525_600 / ((at - inner[0]) / 60 + 1))
    parkinson = math.sqrt(math.fsum(high_low) / (4 * math.log(2)))
    klass = math.sqrt(0.5 * math.fsum(high_low) - (2 * math.log(2) - 1) * math.fsum(close_open))
    realized = math.sqrt(math.fsum(item * item for item in returns)) if returns else None
    year = math.sqrt(525_600 / ((at - starts[0]) / 60)) if returns else None
    return {
        "returns": len(returns),
        "candles": len(inner),
        "realized": realized,
        "realized_annualised": None if realized is None or year is None else realized * year,
        "parkinson": parkinson,
        "parkinson_annualised": parkinson * year_of_ranges,
        "garman_klass": klass,
        "garman_klass_annualised": klass * year_of_ranges,
    }


def spike(volumes: Mapping[int, float], at: int) -> dict[str, float | int] | None:
    """Judge a window against those of the day before; None with fewer than 20 of them."""
    history = [volume for start, volume in volumes.items() if at - 86_400 <= start < at]
    if len(history) < 20:
        return None
    mean = math.fsum(history) / len(history)
    squares = math.fsum((item - mean) ** 2 for item in history)
    deviation = math.sqrt(squares / (len(history) - 1))
    return {
        "z_score": (volumes[at] - mean) / deviation,
        "mean_volume": mean,
        "deviation": deviation,
        "history": len(history),
    }


def exponential(values: Sequence[float], period: int) -> list[float]:
    """Exponential means from the period-th value on, the first being the plain mean."""
    means = [math.fsum(values[:period]) / period] if len(values) >= period else []
    for value in values[period:]:
        means.append(means[-1] + 2 / (period + 1) * (value - means[-1]))
    return means


def wilder(values: Sequence[float], period: int) -> float | None:
    if len(values) < period:
        return None
    mean = math.fsum(values[:period]) / period
    for value in values[period:]:
        mean = (mean * (period - 1) + value) / period
    return mean


def indicators(
    high: Sequence[float], low: Sequence[float], close: Sequence[float]
) -> dict[str, float | None]:
    """The indicators of the last candle."""
    found: dict[str, float | None] = dict.fromkeys(
        ("sma_20", "ema_20", "rsi_14", "macd", "macd_signal", "macd_histogram", "bollinger_upper",
         "bollinger_lower", "atr_14")
    )  # fmt: skip
    if len(close) >= 20:
        last = [Fraction(value) for value in close[-20:]]
        mean = sum(last) / 20
        width = 2 * math.sqrt(sum((item - mean) ** 2 for item in last) / 20)
        found["sma_20"] = float(mean)
        found["bollinger_upper"] = float(mean) + width
        found["bollinger_lower"] = float(mean) - width
        found["ema_20"] = exponential(close, 20)[-1]
    changes = [later - earlier for earlier, later in itertools.pairwise(close)]
    gain = wilder([max(change, 0.0) for change in changes], 14)
    loss = wilder([max(-change, 0.0) for change in changes], 14)
    if gain is not None and loss is not None:
        found["rsi_14"] = 100 * gain / (gain + loss) if gain + loss else 0.0
    ranges = [
        max(h, before) - min(l, before)
        for h, l, before in zip(high[1:], low[1:], close, strict=False)  # noqa: E741 - high, low
    ]
    found["atr_14"] = wilder(ranges, 14)
    # TA-Lib starts both means of macd at the same candle, the 26th.
    slow, fast = exponential(close, 26), exponential(close[14:], 12)
    lines = [short - long for short, long in zip(fast, slow, strict=False)]
    signal = exponential(lines, 9)
    if signal:
        found["macd"], found["macd_signal"] = lines[-1], signal[-1]
        found["macd_histogram"] = lines[-1] - signal[-1]
    return found


def pearson(
    one: Mapping[int, Number], other: Mapping[int, Number], end: int, seconds: int
) -> tuple[int, float | None]:
    """Common returns of two series of one-minute closes in [end - seconds, end), and their correlation."""
    pairs = [
        (log_change(one[at - 60], one[at]), log_change(other[at - 60], other[at]))
        for at in sorted(one)
        if end - seconds <= at < end and {at, at - 60} <= one.keys() & other.keys()
    ]
    if len(pairs) < 3:
        return len(pairs), None
    mean_x, mean_y = (math.fsum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    products = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs)
    squares_x = math.fsum((x - mean_x) ** 2 for x, _ in pairs)
    squares_y = math.fsum((y - mean_y) ** 2 for _, y in pairs)
    if not squares_x or not squares_y:
        return len(pairs), None
    return len(pairs), products / math.sqrt(squares_x * squares_y)


def value_area(volumes: Sequence[int]) -> tuple[int, list[int]]:
    """The point of control's place, and the places of the bins about it that hold 70 % of the volume."""
    peak = max(range(len(volumes)), key=lambda at: (volumes[at], -at))
    inside = [peak]
    while 10 * sum(volumes[at] for at in inside) < 7 * sum(volumes):
        sides = [at for at in (max(inside) + 1, min(inside) - 1) if 0 <= at < len(volumes)]
        inside.append(max(sides, key=lambda at: (volumes[at], at)))
    return peak, sorted(inside)


def slippage_bps(side: Sequence[Level], mid: Fraction, size: int) -> Fraction | None:
    """Spend `size` quote along a side of the book; None where it does not suffice."""
    left, base = Fraction(size), Fraction()
    for price, quantity in side:
        taken = min(left, price * quantity)
        left, base = left - taken, base + taken / price
    return None if left else abs(Fraction(size) / base / mid - 1) * 10_000


def book_metrics(bids: Sequence[Level], asks: Sequence[Level]) -> dict[str, Fraction | None]:
    """The figures of `gold_book_metrics` that are ratios or sums."""
    (bid, bid_quantity), (ask, ask_quantity) = bids[0], asks[0]
    mid = (bid + ask) / 2
    found: dict[str, Fraction | None] = {
        "mid": mid,
        "spread": ask - bid,
        "spread_bps": (ask - bid) / mid * 10_000,
        "micro_price": (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity),
    }
    for name, side in (("bid", bids), ("ask", asks)):
        found[f"{name}_depth"] = sum((quantity for _, quantity in side), Fraction())
        for band in (5, 10, 25):
            near = [quantity for price, quantity in side if abs(price - mid) <= mid * band / 10_000]
            found[f"{name}_depth_{band}bps"] = sum(near, Fraction())
        found[f"{name}_known_bps"] = (
            abs(side[9][0] - mid) / mid * 10_000 if len(side) == 10 else None
        )
    plain = [sum((q for _, q in side), Fraction()) for side in (bids, asks)]
    weighted = [
        sum((q / number for number, (_, q) in enumerate(side, 1)), Fraction())
        for side in (bids, asks)
    ]
    for name, (b, a) in (("imbalance", plain), ("weighted_imbalance", weighted)):
        found[name] = (b - a) / (b + a)
    return found
