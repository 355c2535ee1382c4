"""A trajectory as one HTML page: `report` is pure, and pictures are whatever references its caller gives."""

from director.report.facts import Facts, Pictures, Trouble, Try
from director.report.page import document, policy, report

__all__ = ["Facts", "Pictures", "Trouble", "Try", "document", "policy", "report"]
