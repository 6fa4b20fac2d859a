"""What a study declares, and the plan of work that follows from it; nothing here computes."""
