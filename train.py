"""Train a system (Alg. 1).

    accelerate launch train.py configs/ravdess.yaml --dataset data/ravdess --output_dir runs/ravdess
    accelerate launch train.py configs/ravdess.yaml configs/ablations/concat.yaml --dataset data/ravdess \
        --output_dir runs/concat --seed 1
    accelerate launch train.py configs/iemocap.yaml --fold all --seeds 0 1 2 --dataset data/iemocap \
        --output_dir runs/iemocap
    accelerate launch train.py --table configs/tables/table_4.yaml configs/ravdess.yaml --dataset data/ravdess \
        --output_dir runs/tables

Each config file goes on top of the one before it. Every argument can be changed on the command line, too;
`python train.py --help` lists them. With --table every row of a table of the paper is trained, in a folder of its own;
tables with one output folder share their rows. A run that was cut resumes with --resume; one over folds, seeds or rows
does by itself, and keeps the runs that are finished; started several times at once, it shares them.
"""

import sys

from m4ser.training.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
