"""scikit-learn's `GaussianMixture` with emjax's EM inside: ``from emjax.sklearn import GaussianMixture``."""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ImportError("emjax.sklearn needs scikit-learn: pip install scikit-learn") from None

from emjax.sklearn.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
