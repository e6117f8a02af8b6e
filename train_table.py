"""Train every row of a table of the paper, on any corpus.

    accelerate launch train_table.py configs/tables/table_4.yaml configs/ravdess.yaml --dataset data/ravdess \
        --output_dir runs/tables
    accelerate launch train_table.py configs/tables/table_4.yaml configs/iemocap.yaml --dataset data/iemocap \
        --output_dir runs/iemocap_tables --fold all --seeds 0 1 2

After the table come the arguments of train.py. Each row is trained in a folder of its own; typed again, the command
keeps the runs that are finished and goes on with the one that was cut. Tables with one output folder share their rows.
"""

import sys
from pathlib import Path

from m4ser.training.tables import train_table
from train import describe_many, tell


def main():
    argv = sys.argv[1:]
    if not argv or {"-h", "--help"} & set(argv):
        sys.exit(__doc__)
    try:
        for name, summary in train_table(argv):
            tell(f"{name}: {describe_many(summary)}")
            folder = Path(summary["config"]["training"]["output_dir"]).parent
        tell(f"Next: m4ser report {folder} --output_dir report")
    except ValueError as error:
        sys.exit(f"train_table.py: {error}")


if __name__ == "__main__":
    main()
