"""Blind reviews: people vote between two frozen answers without knowing which variant gave which.

`make` prepares one, `voting` is all that a reviewer's page may ask, `results` is what the owner sees.
"""
