"""Train M4SER (Alg. 1).

    accelerate launch train.py configs/ravdess.yaml --dataset data/ravdess --output_dir runs/ravdess
    accelerate launch train.py configs/ravdess.yaml configs/ablations/concat.yaml --dataset data/ravdess \
        --output_dir runs/concat --seed 1

Each config file goes on top of the one before it. Every argument can be changed on the command line, too;
`python train.py --help` lists them.
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
