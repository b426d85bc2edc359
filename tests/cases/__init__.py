"""Models and files as people bring them: one maker for each kind, small and made on the spot."""
