"""Format numbers for people: a dash for unknown values, three significant digits, a unit."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

UNKNOWN = "–"


def known(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def figure(value: Any) -> str:
    """Three significant digits, all of those before the point: 24.1, 3.10, 1,234."""
    if not known(value):
        return UNKNOWN
    size = abs(value)
    return f"{value:,.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def rounded(value: Any) -> float | None:
    """`value` as `figure` shows it, as a number: whoever formats it again shows the same digits."""
    if not known(value):
        return None
    number = float(figure(value).replace(",", ""))
    return int(number) if number.is_integer() else number


def milliseconds(seconds: Any) -> str:
    return figure(1e3 * seconds) if known(seconds) else UNKNOWN


def size(count: Any) -> str:
    """ "269 MB", "1.24 GB": bytes in decimal units."""
    if not known(count):
        return UNKNOWN
    if not count:
        return "0 MB"
    if count >= 9.995e8:
        return f"{count / 1e9:.1f} GB" if count >= 1e10 else f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def seconds(value: Any) -> str:
    if not known(value):
        return UNKNOWN
    if value < 100:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return (
        f"{value / 60:.1f} min" if value < 600 else f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"
    )


def time_left(seconds: float) -> str:
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def percent(share: Any, digits: int = 1) -> str:
    return UNKNOWN if not known(share) else "100%" if share == 1 else f"{share:.{digits}%}"


def chance(probability: Any) -> str:
    """A probability in whole percent; "< 1%" and "> 99%" instead of a rounded 0 or 100."""
    if not known(probability):
        return UNKNOWN
    return "> 99%" if 0.995 < probability < 1 else "< 1%" if probability < 0.01 else f"{probability:.0%}"


def nats(value: Any) -> str:
    if not known(value):
        return UNKNOWN
    if value >= 0.1 or value == 0:
        return f"{value:.3f}" if value else "0"
    return f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}".replace("e-0", "e-")


def plus_minus(value: str, error: str) -> str:
    return value if UNKNOWN in (value, error) else f"{value} ± {error}"


def signed(value: float, words: str) -> str:
    """`words` with the sign of `value`; minus is U+2212, as wide as a plus."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{words}"


def minus(text: str) -> str:
    """A number in words with a minus sign instead of a hyphen."""
    return text.replace("-", "−")


def ratio(value: Any) -> str:
    return f"{value:.2f}×" if known(value) else UNKNOWN


def when(created_at: float) -> str:
    return f"{datetime.fromtimestamp(created_at, UTC):%-d %B %Y, %H:%M} UTC"


def place(device: Mapping[str, Any]) -> str:
    """ "AMD EPYC · 2 cores · 17.1 GB/s measured"."""
    cores = f"{device['cores']} cores" if device.get("cores") else ""
    speed = f"{device['bandwidth'] / 1e9:.1f} GB/s measured" if known(device.get("bandwidth")) else ""
    return " · ".join(filter(None, [str(device.get("name") or device.get("device") or ""), cores, speed]))


def packages(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def shown(piece: str) -> str:
    """A token in quotes, with marks for line breaks and tabs."""
    return f"“{piece.replace(chr(10), '↵').replace(chr(9), '⇥')}”"


def whole(text: str) -> str:
    """`text` with no-break spaces inside "n = 120"."""
    return text.replace("n = ", "n\u00a0=\u00a0")


# CSV without formulas: a spreadsheet must not evaluate text.


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a header. None and missing values are empty cells; keys that are no column are ignored."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def inert_cell(value: Any) -> Any:
    """`value` itself, or for text that starts like a formula that text after a quote."""
    begins = isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") and value.strip()
    return f"'{value}" if begins else value


def did_you_mean(name: str, allowed: Sequence[str]) -> str:
    """The hint for an unknown name: the closest allowed name and the whole list."""
    near = difflib.get_close_matches(name, allowed, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(allowed)}."


def sentences(texts: Iterable[str]) -> str:
    """Return the texts as sentences: "a b. c d." where each may lack its full stop."""
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts if text)
