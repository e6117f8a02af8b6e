"""Push a data set that one of datasets_builders made to the Hub: its Parquet files and its card.

python hub_scripts/push_dataset.py data/synthetic --repo_id org/m4ser-synthetic
"""

import argparse
import sys
from pathlib import Path

from m4ser.hub import upload

PATTERNS = ["README.md", "data/*.parquet"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder of a builder")
    parser.add_argument("--repo_id", required=True, help="org/name on the Hub")
    parser.add_argument("--private", action="store_true")
    arguments = parser.parse_args()
    if not any(arguments.dataset.glob(PATTERNS[1])):
        sys.exit(f"error: {arguments.dataset} is no data set: build it with datasets_builders first.")
    try:
        print(upload(arguments.dataset, arguments.repo_id, "dataset", PATTERNS, arguments.private))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
