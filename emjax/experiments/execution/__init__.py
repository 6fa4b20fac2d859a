"""Where and in which order the jobs of a study run: local processes, a Dask cluster, one shard of an array."""
