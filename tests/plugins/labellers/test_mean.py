"""Neurons that answer with the mean target of their samples."""

import numpy as np
import pytest

from dbgsom_core.api import LabelEvidence
from dbgsom_plugins.labellers.neurons import Mean

EVIDENCE = {"som_map": range(3), "bmu": np.array([0, 0, 2, 2, 2]), "hits": np.array([2, 0, 3])}


def test_it_is_the_mean_of_what_each_neuron_won():
    evidence = LabelEvidence(**EVIDENCE, y=np.array([1, 2, 3, 4, 8]))
    assert Mean().label(evidence)[[0, 2]].tolist() == pytest.approx([1.5, 5.0])


def test_sample_weights_weigh():
    weights = np.array([3.0, 1.0, 0.0, 1.0, 0.5])
    evidence = LabelEvidence(**EVIDENCE, y=np.array([1.0, 2, 3, 4, 7]), weights=weights)
    assert Mean().label(evidence)[[0, 2]].tolist() == pytest.approx([1.25, 5.0])
