"""Any OpenAI-compatible endpoint that the owner has added, behind the same protocol as every engine."""
