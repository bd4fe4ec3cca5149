"""Words of groups against c-TF-IDF as it is written."""

import math

import numpy as np
import pytest

from dbgsom_core.tables import top_words

TEXTS = [
    "The room was cold, cold and loud.",
    "the room: cold; the bed hard",
    "The soup was hot and the bread fresh",
    "",
    "Fresh bread, the best soup of the town!",
]
GROUPS = np.array([0, 0, 1, 1, 1])


def plain_words(text):
    return [word.strip(".,:;!").lower() for word in text.split()]


def test_words_have_the_largest_ctfidf_of_those_that_are_frequent_in_their_group():
    tokens = [[], []]
    for text, group in zip(TEXTS, GROUPS, strict=True):
        tokens[group] += plain_words(text)
    every = tokens[0] + tokens[1]
    for group, of_group in enumerate(tokens):
        rest = tokens[1 - group]
        weights = {}
        for word in set(of_group):
            if of_group.count(word) / len(of_group) >= 2 * rest.count(word) / len(rest):
                idf = math.log(1 + (len(every) / 2) / every.count(word))
                weights[word] = of_group.count(word) * idf
        expected = sorted(weights, key=lambda word: (-weights[word], word))
        assert top_words(TEXTS, GROUPS, 2, 99)[group] == expected
    assert top_words(TEXTS, GROUPS, 2, 2) == [["cold", "room"], ["bread", "fresh"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 2015-03-04 42 B12 x", ["b12"]),  # no numbers and no single letters
        ("naïve CAFÉ “naïve”", ["naïve", "café"]),
        ("हिन्दी", ["हिन्दी"]),  # with its vowel signs
        ("snake_case", ["case", "snake"]),
        ("'don't' l'été", ["don't", "l'été"]),
        ("", []),
        (" - ? \n", []),
    ],
)
def test_what_a_word_is(text, words):
    assert top_words([text], np.array([0]), 1, 9) == [words]


def test_a_group_without_texts_has_no_words():
    assert top_words(["one two", ""], np.array([0, 1]), 3, 9) == [["one", "two"], [], []]
