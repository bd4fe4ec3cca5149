"""The plain fields of each section, as pydantic models: rules, defaults and descriptions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_TAG = re.compile(r"\w[\w ./:-]{0,199}")  # what MLflow takes
_NAME = re.compile(r"[A-Za-z0-9 ._-]+(/[A-Za-z0-9 ._-]+)*")


class Settings(BaseModel):
    """Base of sections: frozen, strict, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class General(Settings):
    """The top level of a configuration."""

    experiment: str = Field(
        description="the group under which runs are kept: letters, digits, spaces and . _ - /"
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


class Split(Settings):
    """How the data is divided: one test part, or cross-validation in folds."""

    test_size: float | None = Field(
        default=None, gt=0, lt=1, description="share of the samples kept for testing"
    )
    stratify: bool = Field(
        default=False, description="keep the share of each class the same in every part"
    )
    folds: int | None = Field(default=None, ge=2, description="parts of a cross-validation")

    @model_validator(mode="after")
    def _one_of_two(self) -> Split:
        if (self.test_size is None) == (self.folds is None):
            both = self.test_size is not None
            raise ValueError(
                "test_size and folds exclude each other; set one of them to null"
                if both
                else "needs either test_size or folds"
            )
        return self


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
    epochs: int = Field(default=100, ge=1, le=10**6, description="upper bound of the epochs")
    tol: float = Field(
        default=1e-4,
        ge=0,
        allow_inf_nan=False,
        description="stop early when the map moves less than this; 0: never",
    )
    spreading_factor: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="how far the map spreads, fills the growth strategy's field; null: not given",
    )
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = Field(
        default=None,
        description="cap on the map's size, fills the growth strategy's field; null: not given",
    )
    init: Literal["pca", "random"] = Field(
        default="pca", description="where the first prototypes lie"
    )
    contamination: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="share of the training samples that count as outliers, at most",
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
