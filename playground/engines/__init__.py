"""What runs a variant: one OpenAI-compatible protocol, one client, one module per engine."""
