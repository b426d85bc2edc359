"""The store: jobs, variants, runs and reviews in SQLite or PostgreSQL, and the folders of their files."""
