"""How a model bears what recordings and recognisers do to it: `m4ser robustness`."""
