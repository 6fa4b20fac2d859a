"""The names of the families, for what must load without JAX: configs and the command line.

`emjax.families.FAMILIES` has the classes; a test holds the two together.
"""

NAMES = ("normal", "poisson", "exponential", "gamma", "bernoulli", "categorical", "student_t")

WITH_COVARIANCE = ("normal", "student_t")
"""Those that take ``covariance``."""
