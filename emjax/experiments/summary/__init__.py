"""What the rows of a study come to."""
