"""Mixtures that are NumPyro programs: what is found in a program, and the family that it is."""
