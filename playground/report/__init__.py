"""What is shown and exported of a run: parts, plots, pages, pictures and cards."""
