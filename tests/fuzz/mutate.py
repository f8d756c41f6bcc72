"""A plain mutation fuzzer: no coverage, no compiler, the same inputs for the same seed.

It is the short run: what the coverage-guided run has found is its corpus, so it starts from every state that was
ever reached, and goes one to a few changes further.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.fuzz.inputs import CHOICES, MORE_CHOICES, PLAIN, checker, read_corpus, read_dictionary, seeds

MOST_BYTES = 4096  # of an input; limits that lie beyond are reached by choosing tighter ones


class Finding(AssertionError):
    """An input that shows a fault.

    Attributes:
        data: the input.
    """

    def __init__(self, data: bytes, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}; the input: {data!r}")
        self.data = data


def mutations(corpus: list[bytes], words: list[bytes], random: Random, choices: int = CHOICES) -> Iterator[bytes]:
    """Inputs without end, each a kept one with one to four changes; `choices`: how many bytes are no text."""
    while True:
        data = random.choice(corpus).ljust(choices, b"\0")
        for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
            data = _changed(data, random.choice(corpus), words, random, choices)
        yield data[:MOST_BYTES]


def _changed(data: bytes, other: bytes, words: list[bytes], random: Random, choices: int) -> bytes:
    way = random.randrange(9)
    if way == 0:  # other cuts, other limits; each more choice is as good as its being 0
        more = (random.randrange(256) * random.randrange(2) for _ in range(choices - CHOICES))
        return bytes(random.randrange(256) for _ in range(CHOICES)) + bytes(more) + data[choices:]
    start = random.randint(choices, max(choices, len(data)))
    end = min(len(data), start + random.choice((0, 1, 1, 2, 4, 16)))
    if way == 1:
        put = b""
    elif way == 2:
        put = data[start:end] * random.randint(2, 6)
    elif way == 3:
        put = bytes(byte ^ 1 << random.randrange(8) for byte in data[start:end])
    elif way == 4:
        put = bytes([random.randrange(256)])
    elif way == 5:  # the rest of another
        middle = random.randint(choices, max(choices, len(other)))
        return data[:start] + other[middle:]
    elif way == 6:
        middle = random.randint(choices, max(choices, len(other)))
        put = other[middle : middle + random.randint(1, 32)]
    else:
        put = random.choice(words)
    return data[:start] + put + data[end:]


def run(target: str, count: int, seed: int = 1) -> int:
    """Check everything kept, then `count` inputs made from it.

    Args:
        target: one of `inputs.TARGETS`.
        count: inputs to make.
        seed: another one gives other inputs.

    Returns:
        How many inputs were checked.

    Raises:
        Finding: an input shows a fault.
    """
    check = checker(target)
    corpus = [*read_corpus(target), *seeds(target), PLAIN]
    choices = CHOICES + MORE_CHOICES.get(target, 0)
    made = mutations(corpus, read_dictionary(target), Random(f"{target} {seed}"), choices)
    for number in range(len(corpus) + count):
        data = corpus[number] if number < len(corpus) else next(made)
        try:
            check(data)
        except Exception as error:
            raise Finding(data, error) from error
    return len(corpus) + count
