"""What a sweep ranks together, while it goes on and at its end."""

from types import SimpleNamespace

import pytest

from dbgsom_core.config import load_sweep
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.sweeps.leaderboard import Leaderboard

KERNELS = "{model.kernel: [gaussian, bubble, triangular]}"


class Swept:
    """A sweep whose runs have the measures that a test gives them."""

    def __init__(self, folder, section, head=""):
        self.registry = Registry.discover(own_only=True)
        self.folder = folder
        path = folder / "sweep.yaml"
        path.write_text(f"experiment: e\ndataset: iris\n{head}sweep: {section}\n")
        self.sweep = load_sweep(path, registry=self.registry)
        self.board = Leaderboard(self.sweep, self.registry)

    def end(self, child, measures):
        """Add a finished run; return what is best so far."""
        data = {"name": "iris", "digest": "d", "samples": 150}
        folder = self.folder / child.name
        facts = {"id": child.name, "name": child.name, "varies": child.varies}
        run = SimpleNamespace(**facts, data=data, folder=folder)
        self.board.add(child, run, measures)
        return self.board.best_so_far(child).removeprefix("best so far: ")

    def end_all(self, found):
        """Add runs by (kernel, seed) and their accuracy; return what is best after each."""
        children = {child.name: child for child in self.sweep.children}
        return [
            self.end(children[f"kernel={kernel}, seed={seed}"], {"test/accuracy": value})
            for (kernel, seed), value in found.items()
        ]

    def rankings(self):
        return self.board.rankings(self.board._runs)

    def ranked(self):
        (ranking,) = self.rankings()
        return [one.name for one in ranking.variants]


@pytest.fixture
def swept(tmp_path):
    def call(section=f"{{grid: {KERNELS}, repeats: {{seeds: 3}}}}", split="{test_size: 0.25}"):
        return Swept(tmp_path, section, f"model: {{estimator: classifier}}\nsplit: {split}\n")

    return call


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (
            "combined_error",
            {
                "iris, metric=euclidean": ["bubble", "gaussian"],
                "iris, metric=minkowski": ["bubble", "gaussian"],
            },
        ),
        ("topographic_error", {"iris": ["bubble", "gaussian", "bubble", "gaussian"]}),
    ],
)
def test_metrics_are_not_ranked_by_a_measure_in_their_units(tmp_path, measure, expected):
    grid = "{model.metric: [euclidean, {name: minkowski, p: 3}], model.kernel: [gaussian, bubble]}"
    swept = Swept(tmp_path, f"{{grid: {grid}, decide: {{measure: {measure}}}}}")
    for number, child in enumerate(swept.sweep.children):
        assert swept.end(child, {f"train/{measure}": 9.0 - number})
    found = {
        one.data: ["bubble" if "bubble" in each.name else "gaussian" for each in one.variants]
        for one in swept.rankings()
    }
    assert found == expected


def test_ways_to_divide_the_data_are_not_ranked_together(tmp_path):
    swept = Swept(tmp_path, "{grid: {split.test_size: [0.2, 0.4], model.epochs: [3, 4]}}")
    for child in swept.sweep.children:
        swept.end(child, {"test/combined_error": 1.0})
    assert [one.data for one in swept.rankings()] == ["iris, test_size=0.2", "iris, test_size=0.4"]


def test_a_seed_that_varies_is_no_part_of_a_variant(tmp_path):
    swept = Swept(tmp_path, "{grid: {seed: [1, 2], model.kernel: [gaussian, bubble]}}")
    for child, error in zip(swept.sweep.children, (0.1, 0.3, 0.6, 0.2), strict=True):
        sentence = swept.end(child, {"train/combined_error": error})
    assert sentence == (
        "kernel=bubble (train/combined_error 0.250 ± 0.071, 2 seeds), 0.1 better than "
        "kernel=gaussian, p = 0.8: no clear difference yet"
    )
    (ranking,) = swept.rankings()
    assert [one.name for one in ranking.variants] == ["kernel=bubble", "kernel=gaussian"]
    assert [len(one.runs) for one in ranking.variants] == [2, 2]
    assert ranking.best.varies == {"kernel": "bubble"}


BESIDE_EACH_OTHER = [
    (
        {("gaussian", 42): 0.95, ("gaussian", 43): 0.75, ("bubble", 42): 0.90},
        # above the mean of gaussian, below gaussian with the same seed
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds)",
    ),
    (
        {
            ("gaussian", 42): 0.95,
            ("gaussian", 43): 0.75,
            ("bubble", 42): 0.90,
            ("bubble", 43): 0.76,
        },
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds), 0.02 better than kernel=bubble, "
        "p = 0.7: no clear difference yet",
    ),
    (
        {("gaussian", 42): 0.7, ("gaussian", 44): 0.7, ("bubble", 43): 0.9},
        "kernel=bubble (test/accuracy 0.9, 1 seed), kernel=gaussian has none of its seeds: no "
        "clear difference yet",
    ),
    (
        # By hand: seed 43 costs 0.2, so that bubble, which had it alone, would have 0.82.
        {("gaussian", 42): 0.9, ("gaussian", 43): 0.7, ("bubble", 43): 0.72},
        "kernel=bubble (test/accuracy 0.72, 1 seed, 0.82 adjusted to all seeds)",
    ),
]


@pytest.mark.parametrize(("found", "sentence"), BESIDE_EACH_OTHER)
def test_variants_are_ranked_as_if_all_had_the_same_seeds(swept, found, sentence):
    sweep = swept()
    assert sweep.end_all(found)[-1] == sentence
    assert sentence.startswith(f"{sweep.ranked()[0]} (")  # as at its end
