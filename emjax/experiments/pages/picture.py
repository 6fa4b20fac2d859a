"""What the figures of a study's pages share."""

from emjax.experiments.summary.estimates import ENOUGH

HOLLOW = f" Hollow: of trusted outcomes, which are fewer than {ENOUGH:.0%}; those left out may be the hard ones."
