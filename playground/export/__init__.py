"""A run to take away: one HTML file, JSON with a schema, CSV, a picture, a section of a model card.

Each is a function of the run alone, and none holds a path of this machine.
"""

from __future__ import annotations

from playground.export.card import model_card
from playground.export.document import as_json, schema
from playground.export.files import FORMS, Form, form_of, write
from playground.export.page import html
from playground.export.picture import png
from playground.export.sheet import csv

__all__ = ["FORMS", "Form", "as_json", "csv", "form_of", "html", "model_card", "png", "schema", "write"]
