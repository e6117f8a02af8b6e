"""Tables and figures of finished runs, beside the paper's: `m4ser report`."""

from m4ser.evaluation.report.figures import plot_confusion_matrix, plot_losses
from m4ser.evaluation.report.page import comparison, write_report

__all__ = ["comparison", "plot_confusion_matrix", "plot_losses", "write_report"]
