"""What quantizing cost in quality: divergence from the reference, and tasks through lm-evaluation-harness."""
