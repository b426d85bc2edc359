"""What is kept: variants that were made and jobs that made them, in SQLite, and the folders beside it."""
