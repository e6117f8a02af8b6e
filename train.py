"""Train M4SER (Alg. 1).

    accelerate launch train.py configs/ravdess.yaml --dataset data/ravdess --output_dir runs/ravdess
    accelerate launch train.py configs/ravdess.yaml --dataset data/ravdess --output_dir runs/x --epochs 3 --seed 1

Every argument of the config file can be changed on the command line; `python train.py --help` lists them.
"""

import sys

from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train


def main():
    try:
        results = train(parse_arguments(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"train.py: {error}")
    test = results["splits"]["test"]
    print(f"test WA {test['weighted_accuracy']:.3f}, UA {test['unweighted_accuracy']:.3f}, n {test['n']}")


if __name__ == "__main__":
    main()
