"""The windows that every program of the comparison scores; the standard library only.

A text's ids (no special ids added, the text's own special tokens read as plain text) are cut into consecutive chunks.
With a BOS in the model's file, a window is BOS and `window - 1` ids; without one, `window` ids. A shorter last chunk is
left out. Position i of a window is predicted from positions 0..i; the positions from `window // 2` on are scored, each
once. Perplexity is exp of the mean negative natural logarithm over all scored positions.
"""

import math


def cut(ids: list[int], window: int, bos: int | None) -> list[list[int]]:
    """The windows, each of `window` ids. Raises ValueError where the text has not one."""
    if window < 2:
        raise ValueError(f"window {window}: at least 2")
    head = [] if bos is None else [bos]
    step = window - len(head)
    windows = [head + ids[start : start + step] for start in range(0, len(ids) - step + 1, step)]
    if not windows:
        raise ValueError(f"{len(ids)} tokens: a window of {window} needs {step}; use a longer text or a smaller window")
    return windows


def scored(window: int) -> range:
    """The positions that are scored."""
    return range(window // 2, window)


class Mean:
    """The running mean of negative log likelihoods, summed without rounding."""

    def __init__(self) -> None:
        self.terms: list[float] = []

    def add(self, terms: list[float]) -> None:
        self.terms.extend(terms)

    def perplexity(self) -> float:
        return math.exp(math.fsum(self.terms) / len(self.terms))

    def standard_error(self, reference: "Mean") -> float:
        """Of the relative distance of two perplexities over the same positions: how far another text of this length
        would typically move it. From the differences position by position, which are nearly independent."""
        differences = [own - other for own, other in zip(self.terms, reference.terms, strict=True)]
        count = len(differences)
        mean = math.fsum(differences) / count
        return math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (count - 1) / count)
