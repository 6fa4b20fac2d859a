"""The data sets that come with emjax: one table with source, licence and description."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

import numpy as np

from emjax.datasets.dataset import Dataset
from emjax.datasets.roles import Request
from emjax.weights import checked_weights

__all__ = ["CATALOGUE", "Entry", "load_bundled"]


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        name: what :func:`emjax.datasets.load` is given.
        title: a few words, for a table.
        n_samples: the number of rows after loading.
        feature_names: the columns that are loaded as features.
        source: where the numbers were published and where this copy was taken from.
        license: the licence or legal standing.
        description: rows, columns and units, and what the data are known for.
        labels_column: the column of the file kept as ``Dataset.labels``, if any.
        counts_column: the column that says how often each row of the file stands, if any.
    """

    name: str
    title: str
    n_samples: int
    feature_names: tuple[str, ...]
    source: str
    license: str
    description: str
    labels_column: str | None = None
    counts_column: str | None = None

    @property
    def n_features(self) -> int:
        """The number of columns."""
        return len(self.feature_names)


_ENTRIES = (
    Entry(
        name="acidity",
        title="Acidity of lakes in Wisconsin",
        n_samples=155,
        feature_names=("acidity",),
        source=(
            "S. L. Crawford, M. H. DeGroot, J. B. Kadane and M. J. Small (1992), Modeling lake-chemistry "
            "distributions: approximate Bayesian methods for estimating a finite-mixture model, Technometrics 34, "
            "441-453; as in R's mclust::acidity (mclust 6.0.0)"
        ),
        license="Published measurements (facts); mclust, which also distributes them, is under GPL-2 | GPL-3",
        description=(
            "Acidity index, log(acid-neutralising capacity + 50), of 155 lakes in north-central Wisconsin. Two groups "
            "that overlap; with Richardson and Green (1997) a standard example of an uncertain number of components."
        ),
    ),
    Entry(
        name="carcinoma",
        title="Seven pathologists on carcinoma of the uterine cervix",
        n_samples=118,
        feature_names=("A", "B", "C", "D", "E", "F", "G"),
        source=(
            "N. S. Holmquist, C. A. McMahan and O. D. Williams (1967), Variability in classification of carcinoma in "
            "situ of the uterine cervix, Archives of Pathology 84, 334-345; J. R. Landis and G. G. Koch (1977), "
            "Biometrics 33, 363-374; two categories as in A. Agresti (2002), Categorical Data Analysis, 2nd edition, "
            "table 13.1, and in R's poLCA::carcinoma (poLCA 1.6.0)"
        ),
        license="Published facts (a table of twenty counts); poLCA, which also distributes them, is under GPL (>= 2)",
        description=(
            "Whether each of seven pathologists, A to G, saw carcinoma (1) or not (0) on 118 slides. Stored as the "
            "twenty patterns that occurred and their counts, and loaded as one row per slide, sorted. The standard "
            "example of latent classes: with two and three, log-likelihoods of -317.26 and -293.70 (Agresti, tables "
            "13.2 and 13.3)."
        ),
        counts_column="slides",
    ),
    Entry(
        name="deaths",
        title="Death notices in The Times, per day",
        n_samples=1096,
        feature_names=("deaths",),
        source=(
            "The Times (London), 1910-1912; counts in V. Hasselblad (1969), Estimation of finite mixtures of "
            "distributions from the exponential family, Journal of the American Statistical "
            "Association 64, 1459-1471"
        ),
        license="Published facts (a table of ten counts), not under copyright",
        description=(
            "Number of death notices of women aged 80 and over on each of 1096 days. Stored as the "
            "published table "
            "(deaths, days) and loaded as one row per day, sorted, because the order of the days "
            "was not published. "
            "The standard example of two Poisson components on which EM is slow (rate of convergence 0.9957)."
        ),
        counts_column="days",
    ),
    Entry(
        name="faithful",
        title="Eruptions of the Old Faithful geyser",
        n_samples=272,
        feature_names=("eruptions", "waiting"),
        source=(
            "A. Azzalini and A. W. Bowman (1990), A look at some data on the Old Faithful geyser, "
            "Applied Statistics "
            "39, 357-365; W. Haerdle (1991), Smoothing Techniques with Implementation in S; as in "
            "R's datasets::faithful"
        ),
        license="Published measurements (facts); R, which also distributes them, is under GPL-2 | GPL-3",
        description=(
            "Duration of an eruption (eruptions, minutes) and waiting time to the next one "
            "(waiting, minutes) for 272 "
            "eruptions of Old Faithful in Yellowstone National Park, Wyoming. Two well separated groups."
        ),
    ),
    Entry(
        name="galaxies",
        title="Velocities of galaxies in Corona Borealis",
        n_samples=82,
        feature_names=("velocity",),
        source=(
            "M. Postman, J. P. Huchra and M. J. Geller (1986), Probes of large-scale structure in "
            "the Corona Borealis "
            "region, Astronomical Journal 92, 1238-1247; K. Roeder (1990), JASA 85, 617-624; as in "
            "R's MASS::galaxies, "
            "divided by 1000"
        ),
        license="Published measurements (facts); MASS, which also distributes them, is under GPL-2 | GPL-3",
        description=(
            "Velocities (1000 km/s) of 82 galaxies in six well separated conic sections of the "
            "Corona Borealis region. "
            "Observation 78 is 26.690, as in MASS; the original table has 26.960, which some "
            "published analyses use. "
            "The standard example of an uncertain number of components."
        ),
    ),
    Entry(
        name="iris",
        title="Fisher's irises",
        n_samples=150,
        feature_names=("sepal_length", "sepal_width", "petal_length", "petal_width"),
        source=(
            "R. A. Fisher (1936), The use of multiple measurements in taxonomic problems, Annals "
            "of Eugenics 7, "
            "179-188; E. Anderson (1935); the copy that scikit-learn bundles, which equals R's"
        ),
        license="Published measurements (facts); scikit-learn, which bundles them, is under BSD-3-Clause",
        description=(
            "Length and width (cm) of sepals and petals of 50 flowers of each of three species. "
            "The species is kept "
            "as labels and is not a feature."
        ),
        labels_column="species",
    ),
    Entry(
        name="thyroid",
        title="Thyroid function of patients",
        n_samples=215,
        feature_names=("RT3U", "T4", "T3", "TSH", "DTSH"),
        source=(
            "D. Coomans, I. Broeckaert, M. Jonckheer and D. L. Massart (1983), Comparison of multivariate "
            "discrimination techniques for clinical data: application to the thyroid functional state, Methods of "
            "Information in Medicine 22, 93-101; as in R's mclust::thyroid (mclust 6.0.0)"
        ),
        license="Published measurements (facts); mclust, which also distributes them, is under GPL-2 | GPL-3",
        description=(
            "Five laboratory tests of 215 patients: T3 resin uptake (RT3U, %), serum thyroxin (T4), serum "
            "triiodothyronine (T3), basal thyroid-stimulating hormone (TSH) and its change after thyrotropin-releasing "
            "hormone (DTSH). The diagnosis (150 normal, 35 hyper, 30 hypo) is kept as labels and is not a feature."
        ),
        labels_column="diagnosis",
    ),
)

CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def load_bundled(entry: Entry, request: Request) -> Dataset:
    """Read one bundled data set. Its groups are a column that may be asked for as labels, and is no feature."""
    text = (resources.files("emjax.datasets") / f"{entry.name}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    values = np.array([[float(row[name]) for name in entry.feature_names] for row in rows])
    if entry.counts_column is not None:
        values = np.repeat(values, [int(row[entry.counts_column]) for row in rows], axis=0)
    labels = None if entry.labels_column is None else np.array([row[entry.labels_column] for row in rows])
    names = entry.feature_names
    if entry.labels_column is not None and request.labels == entry.labels_column:
        names = (*names, entry.labels_column)
    places = request.places(names, entry.name, entry.feature_names)
    weights = None if places.weights is None else values[:, places.weights]
    partial = None
    if places.labels is not None:
        partial = labels if places.labels == entry.n_features else values[:, places.labels]
    return Dataset(
        values=np.ascontiguousarray(values[:, places.features]),
        feature_names=tuple(entry.feature_names[position] for position in places.features),
        name=entry.name,
        source=entry.source,
        license=entry.license,
        description=entry.description,
        labels=labels,
        weights=checked_weights(weights, len(values), name=f"{entry.name}: weights"),
        partial_labels=partial,
    )
