"""`GaussianMixture`: scikit-learn's estimator, fitted by `emjax.fit`."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from emjax.bounds import BOUNDS, LARGEST, whole
from emjax.sklearn.density import log_density, n_covariance_parameters, precisions, precisions_cholesky
from emjax.sklearn.run import Run, Talk, run
from emjax.sklearn.starts import Parameters, check_given, draw_start


class GaussianMixture(DensityMixin, BaseEstimator):
    r"""Gaussian mixture with the constructor, attributes and methods of scikit-learn's, fitted by `emjax.fit`.

    .. math::

        p(x) = \sum_{k=1}^K w_k \, N(x \mid \mu_k, \Sigma_k)

    From the same ``random_state`` it begins where scikit-learn's class begins and takes the same EM iterations, so that
    ``lower_bounds_`` agree to rounding. It differs in three ways:

    - It stops when the gain *still to come* is at most ``tol``, by Aitken's estimate from the last iterations. The last
      gain, which scikit-learn compares with ``tol``, can be hundreds of times smaller where EM is slow.
    - A component that collapses or loses its points ends a run before it does harm: the last sound parameters are kept,
      ``converged_`` is false and a ``ConvergenceWarning`` names the reason.
    - The tied covariance of starts from single points is ``reg_covar`` on the diagonal, as it is for the other types.
      scikit-learn's is so wide that EM stops at once with all components alike.

    Parameters
    ----------
    n_components : int, default=1
        The number of components K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A covariance matrix per component, one for all, variances per component and feature, or one per component.
    tol : float, default=1e-3
        EM stops when the estimated gain of the log-likelihood per sample that is still to come is at most this. With 0
        it makes exactly ``max_iter`` iterations.
    reg_covar : float, default=1e-6
        Added to the diagonal of every covariance after each M-step, in squared units of the data.
    max_iter : int, default=100
        The most EM iterations of any start; with 0 the start itself is the result.
    n_init : int, default=1
        The number of starts; the one with the highest ``lower_bound_`` is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How responsibilities are drawn for a start: from k-means; from single points, spread out by k-means++ or drawn
        evenly; or from a uniform distribution.
    weights_init : array-like of shape (n_components,), default=None
        Weights of the start, drawn where None.
    means_init : array-like of shape (n_components, n_features), default=None
        Means of the start, drawn where None.
    precisions_init : array-like, default=None
        Inverse covariances of the start, in the shape of ``precisions_``; drawn where None.
    random_state : int, RandomState instance or None, default=None
        For the starts, and for `sample`.
    warm_start : bool, default=False
        Go on from the last fit instead of a new start.
    verbose : int, default=0
        1 prints every start and every ``verbose_interval``-th iteration, 2 adds times and gains.
    verbose_interval : int, default=10
        Iterations between two lines.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        Shape ``(n_components, n_features, n_features)`` for 'full', ``(n_features, n_features)`` for 'tied',
        ``(n_components, n_features)`` for 'diag', ``(n_components,)`` for 'spherical'.
    precisions_, precisions_cholesky_ : ndarray
        Inverse covariances and their upper triangular factors, ``precision = factor @ factor.T``, in the same shape.
    converged_ : bool
        Whether the best start converged.
    n_iter_ : int
        EM iterations of the best start.
    lower_bound_ : float
        Log-likelihood per sample (natural log) at the last E-step of the best start.
    lower_bounds_ : list of float
        The same of every iteration; its last is ``lower_bound_``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, where the data had any.

    See Also
    --------
    emjax.fit : More starts, priors, standard errors, and the distinct optima that were found.

    References
    ----------
    Dempster, Laird and Rubin, Journal of the Royal Statistical Society B 39, 1977; Böhning et al., Annals of the
    Institute of Statistical Mathematics 46, 1994 (the estimate of the gain still to come).

    Examples
    --------
    >>> import numpy as np
    >>> from emjax.sklearn import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_
    array([[10.,  2.],
           [ 1.,  2.]])
    >>> gm.predict([[0, 0], [12, 3]])
    array([1, 0])
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn reads it as it is)
        "n_components": [Interval(Integral, *BOUNDS["n_components"], closed="both")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "tol": [Interval(Real, 0.0, LARGEST, closed="both")],
        "reg_covar": [Interval(Real, 0.0, LARGEST, closed="both")],
        "max_iter": [Interval(Integral, 0, BOUNDS["max_iter"][1], closed="both")],
        "n_init": [Interval(Integral, *BOUNDS["n_init"], closed="both")],
        "init_params": [StrOptions({"kmeans", "random", "random_from_data", "k-means++"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, BOUNDS["log_every"][1], closed="both")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # -- fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the mixture by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data; float32 is computed in float32, anything else in float64.
        y : Ignored
            There for the pipelines of scikit-learn.

        Returns
        -------
        self : GaussianMixture
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used, or a covariance of the start is not positive definite.
        """
        self._fit(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit the mixture by EM and return the labels of ``X``, shape ``(n_samples,)``; see `fit` and `predict`."""
        return self._weighted_log_density(self._fit(X)).argmax(axis=1)

    def _fit(self, X: Any) -> np.ndarray:
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if len(X) < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {len(X)}"
            )
        runs = [
            run(X, start, settings=self, recent=recent, talk=Talk(self.verbose, self.verbose_interval, number))
            for number, (start, recent) in enumerate(self._starts(X))
        ]
        self._keep(max(runs, key=lambda run: (run.sound, run.bounds[-1] if run.bounds else -np.inf)), X.dtype)
        return X

    def _starts(self, X: np.ndarray) -> list[tuple[Parameters, list[float]]]:
        """The starts, each with the last lower bounds of the iterations that led to it."""
        given = check_given(
            self.weights_init,
            self.means_init,
            self.precisions_init,
            covariance_type=self.covariance_type,
            n_components=self.n_components,
            n_features=X.shape[1],
        )
        if self.warm_start and hasattr(self, "converged_"):
            fitted = (self.weights_, self.means_, self.covariances_)
            return [(Parameters(*(np.asarray(value, np.float64) for value in fitted)), self._recent_bounds)]
        random_state = check_random_state(self.random_state)
        drawn = [
            draw_start(
                X,
                given,
                covariance_type=self.covariance_type,
                n_components=self.n_components,
                init_params=self.init_params,
                reg_covar=self.reg_covar,
                random_state=random_state,
            )
            # Starts that are given in full are all the same.
            for _ in range(1 if given.complete else self.n_init)
        ]
        return [(start, []) for start in drawn]

    def _keep(self, run: Run, dtype: Any) -> None:
        """Set the attributes of the best run."""
        if self.max_iter > 0 and not run.converged:
            warnings.warn(f"Best performing initialization did not converge. {run.advice}", ConvergenceWarning, 5)
        parameters = run.parameters
        factors = precisions_cholesky(parameters.covariances, self.covariance_type)
        self.weights_ = parameters.weights.astype(dtype)
        self.means_ = parameters.means.astype(dtype)
        self.covariances_ = parameters.covariances.astype(dtype)
        self.precisions_cholesky_ = factors.astype(dtype)
        self.precisions_ = precisions(factors, self.covariance_type).astype(dtype)
        self.converged_ = run.converged
        self.n_iter_ = run.n_iter
        self.lower_bounds_ = run.bounds
        self.lower_bound_ = run.bounds[-1] if run.bounds else -np.inf
        self._recent_bounds = run.recent

    # -- the fitted mixture

    def score_samples(self, X: Any) -> np.ndarray:
        """The log density of each sample (natural log), shape ``(n_samples,)``."""
        return logsumexp(self._weighted_log_density(self._validated(X)), axis=1)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log density of the samples (natural log)."""
        return float(np.mean(self.score_samples(X)))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each sample, shape ``(n_samples,)``."""
        return self._weighted_log_density(self._validated(X)).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each component given the sample, shape ``(n_samples, n_components)``."""
        return softmax(self._weighted_log_density(self._validated(X)), axis=1)

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw from the fitted mixture, the same samples as scikit-learn from the same parameters and random state.

        Parameters
        ----------
        n_samples : int, default=1
            The number of samples.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, grouped by component.
        y : ndarray of shape (n_samples,)
            Their components.
        """
        check_is_fitted(self)
        if isinstance(n_samples, Integral) and n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        n_samples = whole("n_samples", n_samples)
        random_state = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        counts = random_state.multinomial(n_samples, weights / weights.sum())
        n_features = self.means_.shape[1]
        draws = []
        for k, (mean, count) in enumerate(zip(self.means_, counts, strict=True)):
            covariance = self.covariances_ if self.covariance_type == "tied" else self.covariances_[k]
            if self.covariance_type in ("full", "tied"):
                draws.append(random_state.multivariate_normal(mean, covariance, count))
            else:
                draws.append(mean + random_state.standard_normal(size=(count, n_features)) * np.sqrt(covariance))
        return np.vstack(draws), np.repeat(np.arange(self.n_components), counts)

    def bic(self, X: Any) -> float:
        r"""Bayesian information criterion on ``X``, :math:`-2 \log L + p \log n`; the lower the better."""
        log_densities = self.score_samples(X)
        n_samples = len(log_densities)
        return -2.0 * n_samples * float(np.mean(log_densities)) + self._n_parameters() * float(np.log(n_samples))

    def aic(self, X: Any) -> float:
        r"""Akaike information criterion on ``X``, :math:`-2 \log L + 2 p`; the lower the better."""
        log_densities = self.score_samples(X)
        return -2.0 * len(log_densities) * float(np.mean(log_densities)) + 2.0 * self._n_parameters()

    def _n_parameters(self) -> int:
        """The number of free parameters, weights included."""
        n_components, n_features = self.means_.shape
        of_covariances = n_covariance_parameters(self.covariance_type, n_components, n_features)
        return n_components - 1 + n_components * n_features + of_covariances

    def _validated(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=[np.float64, np.float32])

    def _weighted_log_density(self, X: np.ndarray) -> np.ndarray:
        """``log weight_k + log N(x_n | k)``, shape ``(n_samples, n_components)``."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights_)
        return log_density(X, self.means_, self.precisions_cholesky_, self.covariance_type) + log_weights
