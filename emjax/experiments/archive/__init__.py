"""The folder of a study: one folder a job, named by the hash of what it computes; the index follows from them."""
