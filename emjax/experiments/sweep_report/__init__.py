"""The page of a study: its question, its table, its curves, and where the verdict was right."""
