"""How predictions change with noise, rooms, telephones and word errors: `m4ser robustness`."""
