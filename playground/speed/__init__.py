"""Speed: prefill and decode speed of variants, and what a server gives under load."""
