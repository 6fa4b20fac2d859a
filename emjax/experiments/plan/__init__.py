"""What a study comes to: cells and jobs."""
