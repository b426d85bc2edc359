"""Compare: one prompt through several variants, side by side."""
