"""Pure functions on arrays: every number the product shows is defined here, and nowhere else."""
