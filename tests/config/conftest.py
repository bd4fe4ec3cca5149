"""Fake components of every kind, so that these tests need no built-in plugin."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal, Self

import pytest
from pydantic import Field, field_validator, model_validator

from dbgsom_core.api import (
    DatasetComponent,
    FigureComponent,
    GrowthComponent,
    InitialisationComponent,
    KernelComponent,
    LabellerComponent,
    MeasureComponent,
    MetricComponent,
    TrackerComponent,
    hookimpl,
)
from dbgsom_core.config import Experiment, Sweep, load_experiment, load_sweep
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry
from dbgsom_plugins.engines.local import LocalEngine


class Euclid(MetricComponent):
    """A metric."""

    def pairwise(self, X: Any, prototypes: Any) -> Any:
        return X


class Power(Euclid):
    """A metric with a field."""

    p: float = Field(default=2.0, ge=1, description="the power")


class Gauss(KernelComponent):
    """A kernel."""

    start: float | None = Field(default=None, gt=0)
    end: float | None = Field(default=None, gt=0)
    decay: Literal["linear", "exponential"] = "exponential"

    def weight(self, hops: Any, width: float) -> Any:
        return hops


class Bubble(Gauss):
    """A kernel of the same fields."""


class Grow(GrowthComponent):
    """A growth strategy with a knob that one rule leaves idle."""

    spreading_factor: float = Field(default=0.5, gt=0, lt=1)
    rule: Literal["auto", "entropy"] = "auto"
    max_neurons: Annotated[int, Field(ge=4)] | Literal["auto"] | None = "auto"

    @model_validator(mode="after")
    def _no_idle_knob(self) -> Self:
        if self.rule == "entropy" and "spreading_factor" in self.model_fields_set:
            raise ValueError("spreading_factor has no effect with rule 'entropy'; leave it out")
        return self

    def grow(self, som_map: Any, state: Any) -> Any:
        return ()


class Fixed(GrowthComponent):
    """A growth strategy with a required field."""

    rows: int = Field(ge=1)
    columns: int = Field(default=4, ge=1)

    def grow(self, som_map: Any, state: Any) -> Any:
        return ()


class Majority(LabellerComponent):
    """A labeller."""

    def label(self, evidence: Any) -> Any:
        return ()


class Lot(InitialisationComponent):
    """An initialisation."""

    def prototypes(self, start: Any) -> Any:
        return ()


class Toy(DatasetComponent):
    """A data set with fields of many types."""

    path: Path | None = None
    columns: tuple[int, ...] = ()
    drop: list[int | str] = Field(default_factory=list)
    word: str = "w"
    flag: bool = False
    size: tuple[int, int] = (1, 2)
    table: dict[str, float] = Field(default_factory=dict)
    token: str | None = None

    @field_validator("token")
    @classmethod
    def _no_bad_token(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("bad"):
            raise ValueError(f"{value} is no token that the store accepts")
        return value

    def load(self) -> Any:
        return None


class Faulty(Toy):
    """A data set whose own check is broken."""

    @model_validator(mode="after")
    def _boom(self) -> Self:
        raise KeyError("boom")


class Quality(MeasureComponent):
    """A measure."""

    greater_is_better: ClassVar[bool] = True
    samples: int = Field(default=10, ge=1)

    def compute(self, evaluation: Any) -> float:
        return 0.0


class Picture(FigureComponent):
    """A figure."""

    size: float = 4.0

    def draw(self, view: Any) -> Any:
        return None


class Track(TrackerComponent):
    """A tracker."""

    uri: str = "sqlite:///x.db"

    def observer(self) -> Any:
        return object()


class DefaultTrack(Track):
    """The tracker of runs that name none."""

    is_default: ClassVar[bool] = True


OFFERS = {
    "metrics": {
        "euclidean": Euclid,
        "euclid": Euclid,
        "power": Power,
        "lost": "no_such_module:Lost",
    },
    "kernels": {"gaussian": Gauss, "gauss": Gauss, "bubble": Bubble},
    "growth_strategies": {"directed": Grow, "grow": Grow, "fixed": Fixed},
    "initialisations": {"pca": Lot, "random": Lot},
    "labellers": {"majority": Majority, "index": Majority, "linear_vote": Majority},
    "grids": {"adaptive": "dbgsom_plugins.training:Adaptive"},
    "datasets": {"toy": Toy, "faulty": Faulty},
    "measures": {"quality": Quality, "other": Quality},
    "figures": {"label_map": Picture, "u_matrix": Picture, "sketch": Picture},
    "trackers": {"mlflow": DefaultTrack, "run_folder": Track},
    "engines": {"local": LocalEngine},
}


def plugin():
    """Return a plugin of fakes."""

    def hook(offers):
        return hookimpl(lambda: offers)

    module = ModuleType("fakes")
    module.DBGSOM_API_VERSION = 1
    vars(module).update({f"dbgsom_{kind}": hook(offers) for kind, offers in OFFERS.items()})
    return module


FULL = """\
experiment: group/one
name: first
dataset: {name: toy, path: data/x.csv, columns: [1, 2], drop: [a, 3], size: [3, 4], table: {a: 1}}
prepare:
  - range_scale
  - {name: 'sklearn.preprocessing:PowerTransformer', method: yeo-johnson}
split: {test_size: 0.25, stratify: true}
model:
  estimator: classifier
  metric: {name: power, p: 3}
  kernel: {name: gauss, start: 2, end: 0.5, decay: linear}
  growth: {name: grow, spreading_factor: 0.3}
  labeller: majority
  epochs: 20
  tol: 1e-4
  spreading_factor: 0.3
  max_neurons: 50
  init: random
seed: 7
measures: [quality, {name: other, samples: 3}]
figures: [sketch]
tracking: [{name: mlflow, uri: 'http://h'}, run_folder]
engine: {name: local, threads: 2}
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    made = Registry()
    made.register(plugin(), "fakes", "fakes", "1")
    return made


class Bench:
    """Writes files into a folder and loads them under their bare names."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry

    def write(self, text: str, name: str = "run.yaml") -> str:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def load(self, text: str, *overrides: str) -> Experiment:
        return load_experiment(self.write(text), overrides, self.registry)

    def sweep(self, text: str, *overrides: str) -> Sweep:
        return load_sweep(self.write(text), overrides, self.registry)

    def problems(self, text: str, *overrides: str, sweep: bool = False) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            (self.sweep if sweep else self.load)(text, *overrides)
        assert caught.value.exit_code == 2
        return str(caught.value).splitlines()

    def problem(self, text: str, *overrides: str, sweep: bool = False) -> str:
        (only,) = self.problems(text, *overrides, sweep=sweep)
        return only


@pytest.fixture
def bench(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, registry)


@pytest.fixture(scope="session")
def fakes() -> SimpleNamespace:
    offered = [cls for offers in OFFERS.values() for cls in offers.values()]
    classes = {cls for cls in offered if not isinstance(cls, str)} - {OFFERS["metrics"]["lost"]}
    return SimpleNamespace(**{cls.__name__: cls for cls in classes})


SMALL = "experiment: e\ndataset: toy\n"


@pytest.fixture(scope="session")
def small() -> str:
    """Return the smallest configuration there is."""
    return SMALL


@pytest.fixture
def full():
    """Return an experiment in which every section is given."""
    return FULL
