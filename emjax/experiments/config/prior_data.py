"""Data whose truth is itself drawn: from the model's prior, anew for every replicate, as calibration needs it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from emjax.experiments.config.fields import Section, Text, bounded
from emjax.nearest import suggestion


class PriorData(Section):
    """Data drawn from parameters that are drawn from the study's ``[model]`` and its prior.

    A default prior is scaled by data, and here it has to be known before there are any: it is scaled by a data set that
    is the same for all replicates, and so is that of every method.
    """

    kind: Literal["prior"]
    n_samples: Annotated[int, bounded("n_samples")] = Field(default=1000, description="rows to draw")
    n_features: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(default=1, description="features of a row")
    scaled_by: Text | None = Field(
        default=None,
        description="the bundled data set that the default prior is scaled by, and whose number of features holds; "
        "default: rows with mean 0 and standard deviation 1",
    )
    holdout: Annotated[int, bounded("holdout")] = Field(default=0, description="further rows drawn for the log score")

    @field_validator("scaled_by")
    @classmethod
    def _is_bundled(cls, name: str | None) -> str | None:
        from emjax.datasets.bundled import CATALOGUE

        if name is not None and name not in CATALOGUE:
            raise ValueError(f"there is no bundled data set {name!r}; {suggestion(name, CATALOGUE)}")
        return name
