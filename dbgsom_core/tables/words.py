"""Words that set groups of texts apart."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Runs of two or more characters that are neither blanks nor punctuation, whatever the script: \w
# would part words at the vowel signs of Hindi or Thai. Numbers are no words, B12 and don't
# are.
_APART = (
    r"\s_!-/:-@\[-^`{-\xbf\xd7\xf7"  # of ASCII and Latin 1
    r"\u2010-\u205e\u2e00-\u2e7f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20"
)
_WORD = re.compile(rf"(?!\d+(?:[{_APART}]|$))[^{_APART}](?:['’]?[^{_APART}])+")
# Times that a word has to be more frequent in a group than in all others: words such as "the" are
# so frequent that no weight by their number alone keeps them out, in any language.
_LEAST_LIFT = 2.0


def top_words(texts: Sequence[str], groups: NDArray[Any], count: int, most: int) -> list[list[str]]:
    """Return the words of each group with the largest c-TF-IDF, the largest first.

    It is tf · log(1 + A / f), with tf how often the word stands in the group, f in all groups, and
    A the words of a group on average (Grootendorst 2022). Only words that are at least twice as
    frequent in the group as in all others count.

    Parameters
    ----------
    texts : sequence of n str
    groups : int array (n,)
        Of each text, from 0 to ``count`` - 1; others belong to no group.
    count : int
        The number of groups.
    most : int
        How many words a group has at most.
    """
    counts = [Counter[str]() for _ in range(count)]
    for text, group in zip(texts, np.asarray(groups).tolist(), strict=True):
        if 0 <= group < count:
            counts[group].update(_WORD.findall(text.lower()))
    overall = sum(counts, Counter[str]())
    total, words = overall.total(), []
    for of_group in counts:
        size = of_group.total()
        weights = {}
        for word, times in of_group.items():
            others = overall[word] - times
            if times * (total - size) >= _LEAST_LIFT * others * size:
                weights[word] = times * math.log(1 + total / count / overall[word])
        words.append(sorted(weights, key=lambda word: (-weights[word], word))[:most])
    return words
