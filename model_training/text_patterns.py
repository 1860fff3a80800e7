"""How likely a text is by its sequence of letters and digits, counted on what is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lpr_core.sequence import pattern_of

TRUST = 0.5
"""Exponent of a pattern's share in its weight, as a language model's in a search (Hannun et al.
2014): the network knows part of it already."""

RAREST = 0.0003
"""Share that every pattern has at least: vanity plates and countries nobody thought of."""


def pattern_shares(real: Sequence[Sequence[str]], rendered: Sequence[str]) -> dict[str, float]:
    """How often each pattern of letters and digits stands on plates.

    Args:
        real: the texts of each folder of crops; a text counts once, each folder the same, all
            together as much as the rendered ones.
        rendered: texts of rendered crops.

    Returns:
        By pattern, most frequent first; the shares' sum is 1.
    """
    sources = [(rendered, 0.5 if real else 1.0)]
    sources += [(sorted(set(texts)), 0.5 / len(real)) for texts in real]
    shares: Counter[str] = Counter()
    for texts, weight in sources:
        for pattern, count in Counter(map(pattern_of, texts)).items():
            shares[pattern] += weight * count / len(texts)
    return dict(shares.most_common())


def pattern_weights(shares: Mapping[str, float]) -> dict[str, Any]:
    """What a reader multiplies a text's probability with, as the manifest holds it.

    Returns:
        `weights`, by pattern, that of the most frequent 1; and `others`, of all other patterns.
    """
    most = max(shares.values(), default=RAREST)
    weights = {
        pattern: round((share / most) ** TRUST, 4)
        for pattern, share in shares.items()
        if share > RAREST
    }
    return {"weights": weights, "others": round((RAREST / most) ** TRUST, 4)}
