"""A trajectory as one HTML page: `report` is pure, and pictures are whatever references its caller gives."""

from director.report.page import document, policy, report
from director.report.run_info import Attempt, Controls, Picked, Pictures, RunInfo, Trouble

__all__ = ["Attempt", "Controls", "Picked", "Pictures", "RunInfo", "Trouble", "document", "policy", "report"]
