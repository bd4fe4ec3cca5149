"""The plain fields of each section, as pydantic models: rules, defaults and descriptions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# What a section under model: without a name changes: the estimators' own defaults.
DEFAULT_NAMES = {
    "metric": "euclidean",
    "kernel": "gaussian",
    "growth": "directed",
    "grid": "auto",
    "init": "pca",
}
ESTIMATORS = ("vq", "classifier", "regressor")
GROWTH_FIELDS = ("spreading_factor", "max_neurons")  # that the estimator may fill

_TAG = re.compile(r"\w[\w ./:-]{0,199}")  # what MLflow takes
_NAME = re.compile(r"[A-Za-z0-9 ._-]+(/[A-Za-z0-9 ._-]+)*")


class Settings(BaseModel):
    """Base of sections: frozen, strict, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StabilitySettings(Settings):
    """How sure the map is: refits to parts of the training samples, after the map's own fit."""

    resamples: int = Field(default=20, ge=2, le=10**4, description="how many refits")
    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="of the samples that each is fitted to; of 0.5 two in turn share none",
    )
    level: float = Field(default=0.95, gt=0, lt=1, description="of the confidence intervals")


class General(Settings):
    """The top level of a configuration."""

    experiment: str = Field(
        description="the group under which runs are kept: letters, digits, spaces and . _ -, with "
        "/ between groups"
    )
    name: str | None = Field(default=None, description="the run's name; null: made from its parts")
    tags: dict[str, str | bool | int | Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default_factory=dict, description="words of your own about the run, shown in MLflow, too"
    )
    seed: int = Field(
        default=42, ge=0, le=2**32 - 1, description="start of every random number of the run"
    )

    patience: float = Field(
        default=120.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds after which a figure or a tracker that does not answer is given up",
    )

    @field_validator("tags")
    @classmethod
    def _can_be_tags(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if not _TAG.fullmatch(key) or key.startswith("mlflow."):
                raise ValueError(
                    f"'{key}' is no key of a tag: up to 200 letters, digits, spaces and . _ - / :, "
                    "not starting with 'mlflow.'"
                )
        return value

    @field_validator("name")
    @classmethod
    def _can_be_shown(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("must be one line without control characters")
        return value

    @field_validator("experiment")
    @classmethod
    def _can_be_a_folder(cls, value: str) -> str:
        parts = [part.strip() for part in value.split("/")]
        if not _NAME.fullmatch(value) or not all(part.strip(".") for part in parts):
            raise ValueError(
                "must be letters, digits, spaces and . _ - with / between groups, such as "
                "'digits/first try'"
            )
        return value


class PluginSettings(Settings):
    """Which installed plugins a run leaves alone."""

    disable: tuple[str, ...] = Field(
        default=(), description="plugins or distributions whose components and observers stay away"
    )


# What each of scikit-learn's splitters takes, beside what is drawn with the run's seed.
SPLITTERS = {
    "KFold": ("n_splits", "shuffle"),
    "StratifiedKFold": ("n_splits", "shuffle"),
    "RepeatedKFold": ("n_splits", "n_repeats"),
    "RepeatedStratifiedKFold": ("n_splits", "n_repeats"),
    "GroupKFold": ("groups", "n_splits", "shuffle"),
    "StratifiedGroupKFold": ("groups", "n_splits", "shuffle"),
    "LeaveOneGroupOut": ("groups",),
    "LeavePGroupsOut": ("groups", "n_groups"),
    "LeaveOneOut": (),
    "ShuffleSplit": ("n_splits", "test_size", "train_size"),
    "StratifiedShuffleSplit": ("n_splits", "test_size", "train_size"),
    "GroupShuffleSplit": ("groups", "n_splits", "test_size", "train_size"),
    "TimeSeriesSplit": ("n_splits", "test_size", "max_train_size", "gap"),
}
_Size = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]


class Split(Settings):
    """How the data is divided: one test part, a file of its own, or cross-validation."""

    test_size: _Size | None = Field(
        default=None, description="samples kept for testing: a share, or how many"
    )
    stratify: bool = Field(
        default=False,
        description="with test_size and folds: keep the share of each class the same in every part",
    )
    refit: bool = Field(
        default=False,
        description="with test_size: keep a model of all data, and measure one of the rest",
    )
    folds: int | None = Field(
        default=None, ge=2, le=10**4, description="parts of a cross-validation, shuffled"
    )
    test: Any = Field(
        default=None, description="a data set that is kept for testing, read as 'dataset' is"
    )
    name: Literal[*SPLITTERS] | None = Field(  # type: ignore[valid-type]
        default=None, description="a splitter of scikit-learn, whose parameters follow"
    )
    n_splits: int | None = Field(
        default=None, ge=1, le=10**4, description="how many folds or divisions"
    )
    n_repeats: int | None = Field(
        default=None, ge=1, le=10**4, description="how often the folds are drawn anew"
    )
    n_groups: int | None = Field(default=None, ge=1, description="groups that are left out at once")
    groups: str | None = Field(
        default=None,
        min_length=1,
        description="what holds the groups that are never divided: a column or array of ids, one "
        "of categories, or a feature",
    )
    shuffle: bool | None = Field(
        default=None,
        description="draw the folds at random; null: as scikit-learn, but true for KFold and "
        "StratifiedKFold",
    )
    train_size: _Size | None = Field(
        default=None, description="samples to train on: a share, or how many; null: the rest"
    )
    max_train_size: int | None = Field(
        default=None, ge=1, description="most samples to train on, the latest ones"
    )
    gap: int | None = Field(
        default=None, ge=0, description="samples left out between training and test"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        ways = {key: getattr(self, key) for key in ("name", "test_size", "folds", "test")}
        given = [key for key, value in ways.items() if value is not None]
        if self.name is not None and "test_size" in given:
            given.remove("test_size")
        if not given:
            raise ValueError("needs one of test_size, folds, test and name")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; set all but one to null")
        return self

    @property
    def holds_out(self) -> bool:
        """Whether one part of the data is kept from the model that is kept."""
        return self.name is None and self.test_size is not None and not self.refit

    @property
    def divides(self) -> bool:
        """Whether models of parts of the data are measured beside one of all data."""
        return self.test is None and not self.holds_out


class DecideSettings(Settings):
    """What "best" means among runs; what is left out follows from estimator, measure and split."""

    measure: str | None = Field(
        default=None,
        min_length=1,
        description="the measure that decides, such as accuracy; null: accuracy for a classifier, "
        "r2 for a regressor, combined_error for vq",
    )
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="which end of the measure is best; null: as the measure says"
    )
    split: Literal["test", "train"] | None = Field(
        default=None,
        description="on which part it is measured; null: the test part where there is one",
    )


class ModelSettings(Settings):
    """The estimator's own keyword arguments; whatever is left out keeps the estimator's default."""

    estimator: Literal["vq", "classifier", "regressor"] = Field(
        default="vq",
        description="vq: vector quantization and clusters; classifier: needs labels; "
        "regressor: needs numbers as targets",
    )
    epochs: int = Field(
        default=100,
        ge=1,
        le=10**6,
        description="upper bound of the epochs; a map that is full goes on to fine-tuning at once",
    )
    tol: float = Field(
        default=1e-4,
        ge=0,
        allow_inf_nan=False,
        description="stop early when the map moves less than this; 0: run all epochs",
    )
    spreading_factor: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] | None = Field(
        default=None,
        description="how far the map spreads, fills the growth strategy's field; auto: chosen by "
        "samples that are held out; null: not given",
    )
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = Field(
        default=None,
        description="cap on the map's size, fills the growth strategy's field; null: not given",
    )
    contamination: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="share of samples like those of the training that count as outliers, at most",
    )
    calibration: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the samples that training does not see, for p-values of novelty; "
        "null: none",
    )
    robust: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] | None = Field(
        default=None,
        description="let outliers count less, with this steepness in the inverse of squared "
        "distances; auto: from the data; null: off",
    )
    unlabelled: int | str | None = Field(
        default="auto",
        description="classifier: the label that says that a sample has no class; auto: -1 beside "
        "labels from 0 on; null: none",
    )

    @model_validator(mode="after")
    def _unlabelled_is_for_classes(self) -> ModelSettings:
        if "unlabelled" in self.model_fields_set and self.estimator != "classifier":
            raise ValueError("unlabelled is for estimator: classifier; leave it out")
        return self
