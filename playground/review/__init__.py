"""Blind reviews: people vote between two stored answers without knowing which variant wrote which.

`make` makes a review, `voting` serves the reviewer's page, `results` is for the owner.
"""
