"""The Bayesian side: the bridge to NumPyro, samplers, their diagnostics, and posteriors as ArviZ trees."""
