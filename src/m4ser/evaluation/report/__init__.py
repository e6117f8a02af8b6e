"""Tables and figures of any finished runs; `m4ser.evaluation.paper` sets this paper's beside them."""

from m4ser.evaluation.report.figures import plot_confusion_matrix, plot_losses
from m4ser.evaluation.report.page import comparison

__all__ = ["comparison", "plot_confusion_matrix", "plot_losses"]
