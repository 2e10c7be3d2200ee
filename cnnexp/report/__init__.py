"""Runs compared: what was changed from one to the next and what each reached, best first, as text, CSV and JSON."""

from cnnexp.report.files import write
from cnnexp.report.ranking import Figure, Ranking, Row, rank, rankings
from cnnexp.report.table import each, table

__all__ = ["Figure", "Ranking", "Row", "each", "rank", "rankings", "table", "write"]
