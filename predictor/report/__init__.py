"""The page that `manage.py retrain --report out.html` writes: how a new model did on runs it had not seen.

One self-contained HTML file: no scripts, nothing loaded from elsewhere, plots as inline SVG. Pure: no Django.
"""

from __future__ import annotations

from predictor.report.data import Judged
from predictor.report.page import write

__all__ = ["Judged", "write"]
