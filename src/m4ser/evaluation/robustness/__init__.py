"""How a model bears what recordings and recognizers do to it: `m4ser robustness`."""
