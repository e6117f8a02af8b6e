"""The paper's tables and figures with finished runs beside them: `m4ser report`."""

from m4ser.evaluation.paper.report import write_report

__all__ = ["write_report"]
