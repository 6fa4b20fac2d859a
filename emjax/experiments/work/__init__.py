"""What one job of a study does: make data, run a method on a batch of replicates, measure, and hand back rows."""
