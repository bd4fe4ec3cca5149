"""How sure clusters are, against scikit-learn and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from dbgsom_core import SomVQ
from dbgsom_core.estimators.stability import agreement_of, best_jaccard, halves_and_rest
from dbgsom_core.interfaces.measures import ClusterStability, Interval

SMALL = {"epochs": 10, "max_neurons": 20}
LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40)


@pytest.fixture(scope="module")
def blobs():
    centers = [[0, 0, 0], [12, 0, 0], [0, 12, 0]]
    return make_blobs(300, 3, centers=centers, random_state=0)[0]


@pytest.fixture(scope="module")
def vq(blobs):
    return SomVQ(labeller={"name": "clusters", "n_clusters": 3}, **SMALL).fit(blobs)


@given(LABELS)
def test_agreement_is_the_adjusted_rand_index_and_0_of_one_group(labels):
    first, second = np.array(labels).T
    expected = adjusted_rand_score(first, second)
    if 1 in (len(set(first)), len(set(second))):
        expected = 0.0
    assert agreement_of(first, second) == pytest.approx(expected, abs=1e-12)


@given(LABELS)
def test_jaccard_is_that_of_sets(labels):
    mine, others = np.array(labels).T
    for group, share in enumerate(best_jaccard(mine, others, 4)):
        members = set(np.flatnonzero(mine == group))
        if not members:
            assert math.isnan(share)
            continue
        found = []
        for other in set(others.tolist()):
            its = set(np.flatnonzero(others == other))
            found.append(len(members & its) / len(members | its))
        assert share == pytest.approx(max(found))


@settings(max_examples=50)
@given(n=st.integers(10, 300), most=st.none() | st.integers(4, 50), seed=st.integers(0, 99))
def test_halves_and_rest_share_no_row(n, most, seed):
    for first, second, rest in halves_and_rest(n, 3, seed, most):
        rows = np.concatenate([first, second, rest])
        assert len(np.unique(rows)) == len(rows) <= n
        assert rows.max() < n
        assert len(first) == len(second) >= min(4, most or 4)
        assert len(rest) >= 2


def test_three_blobs_come_again_as_three(vq, blobs):
    found = vq.cluster_stability(blobs, halves=3)
    assert vq.n_clusters_ == 3 == found.suggested == len(found.groups)
    assert found.agreements[2].mean > 0.99
    assert min(share.mean for share in found.group_shares) > 0.99
    others = np.delete([one.mean for one in found.agreements], 2)
    assert others.max() < 0.95
    assert found.agreements[0] == (0, 0, 0)
    assert np.all(abs(found.chances) < 0.1)
    assert found.sentence.startswith("3 groups; new halves give them again with ARI 1.00 [")
    assert vq.cluster_stability_ is found
    assert not hasattr(clone(vq), "cluster_stability_")


def test_noise_comes_again_far_less(blobs):
    X = np.random.default_rng(0).random((300, 3))
    vq = SomVQ(labeller={"name": "clusters", "n_clusters": 3}, **SMALL).fit(X)
    found = vq.cluster_stability(X, halves=4)
    assert found.agreements[2].mean < 0.8
    assert found.agreements[2].high - found.agreements[2].low > 0.2


def test_the_number_of_refits_is_that_of_a_map_labelled_so(vq, blobs):
    """A refit that is labelled anew answers as one that was fitted with that number."""
    found = vq.cluster_stability(blobs, halves=1, numbers=[2, 5])
    first, second, rest = next(halves_and_rest(len(blobs), 1, 0))
    for number, agreement in zip(found.numbers, found.agreements, strict=True):
        answers = []
        for rows in (first, second):
            other = clone(vq).set_params(labeller__n_clusters=int(number)).fit(blobs[rows])
            answers.append(other.predict(blobs[rest]))
        assert agreement.mean == pytest.approx(adjusted_rand_score(*answers))
    assert found.numbers.tolist() == [2, 3, 5]
    assert math.isnan(found.agreements[0].low)
    assert "(one pair of halves: no interval)" in found.sentence


def test_the_seed_decides_and_the_threads_do_not(vq, blobs):
    first, again, other = (
        str(vq.cluster_stability(blobs, 2, [2, 9], n_jobs=jobs, random_state=seed))
        for jobs, seed in ((None, 0), (2, 0), (1, 1))
    )
    assert first == again != other


def test_neurons_and_child_maps_have_one_too(blobs):
    found = SomVQ(**SMALL).fit(blobs).cluster_stability(blobs, 2)
    assert found.numbers.tolist() == [len(found.groups)]
    growth = {"name": "hierarchical", "min_samples": 10, "tau_2": 0.01}
    labeller = {"name": "clusters", "n_clusters": 3}
    deep = SomVQ(growth=growth, epochs=10, max_neurons=4, labeller=labeller).fit(blobs)
    assert deep.cluster_stability(blobs, 2).agreements[2].mean > 0.9


@pytest.mark.parametrize(
    ("labeller", "given", "said"),
    [
        ("index", {"numbers": [2]}, "labeller 'index', which has no n_clusters"),
        ("clusters", {"numbers": [0]}, "at least 1, not 0"),
        ("clusters", {"halves": 0}, "'halves' parameter of cluster_stability"),
        ("clusters", {"X": np.eye(9)[:, :3]}, "9 samples are too few"),
    ],
)
def test_what_cannot_be_asked_is_told(blobs, labeller, given, said):
    vq = SomVQ(labeller=labeller, **SMALL).fit(blobs)
    with pytest.raises(ValueError, match=said):
        vq.cluster_stability(**{"X": blobs, **given})


def made(own, agreements, shares=()):
    """Return the stability of a map of ``own`` groups, from means by number."""
    shares = shares or [0.9] * own
    return ClusterStability(
        numbers=np.array(list(agreements)),
        agreements=[Interval(mean, mean - 0.1, mean + 0.1) for mean in agreements.values()],
        chances=np.zeros(len(agreements)),
        groups=np.arange(own),
        group_shares=[Interval(share, share - 0.1, share + 0.1) for share in shares],
        group_chances=np.full(own, 0.1),
        halves=5,
        rows=(40, 20),
    )


@pytest.mark.parametrize(
    ("found", "suggested", "sentence"),
    [
        (
            made(4, {1: 0.0, 2: 0.75, 4: 0.77}, (0.9, 0.8, 0.7, 0.41)),
            4,
            "4 groups; new halves give them again with ARI .77 [.67, .87]; group 3 alone is "
            "doubtful, .41",
        ),
        (
            made(2, {1: 0.0, 2: 0.8, 3: 0.75, 4: 0.3}, (0.3, 0.5)),
            3,
            "2 groups; new halves give them again with ARI .80 [.70, .90]; all are doubtful, .30 "
            "to .50",
        ),
        (
            made(2, {1: 0.0, 2: 0.05, 3: 0.9}),
            3,
            "2 groups; new halves give them again with ARI .05 [-.05, .15], not clearly better "
            "than chance; 3 groups come again with .90 [.80, 1.00]",
        ),
        (made(1, {1: 0.0, 2: 0.05}), 1, "one group: no division is better than none"),
        (made(1, {1: 0.0, 2: 0.5}), 2, "one group; new halves agree on 2 with ARI .50 [.40, .60]"),
    ],
)
def test_the_sentence_says_how_sure_groups_are(found, suggested, sentence):
    assert found.suggested == suggested
    assert found.sentence == sentence
