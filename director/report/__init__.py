"""A trajectory as one HTML page: `report` is pure, and pictures are whatever references its caller gives."""

from director.report.page import document, policy, report
from director.report.run_info import Pictures, RunInfo, Trouble, Try

__all__ = ["Pictures", "RunInfo", "Trouble", "Try", "document", "policy", "report"]
