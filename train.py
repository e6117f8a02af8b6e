"""Train M4SER (Alg. 1).

    accelerate launch train.py configs/ravdess.yaml --dataset data/ravdess --output_dir runs/ravdess
    accelerate launch train.py configs/ravdess.yaml configs/ablations/concat.yaml --dataset data/ravdess \
        --output_dir runs/concat --seed 1
    accelerate launch train.py configs/iemocap.yaml --fold all --seeds 0 1 2 --dataset data/iemocap \
        --output_dir runs/iemocap

Each config file goes on top of the one before it. Every argument can be changed on the command line, too;
`python train.py --help` lists them. A run that was cut goes on with --resume; one over folds or seeds does by itself.
"""

import sys

from accelerate import PartialState

from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.runs import train_all


def main():
    try:
        arguments = parse_arguments(sys.argv[1:])
        if arguments.data.fold == "all" or arguments.training.seeds:
            tell(describe_many(train_all(arguments)))
        else:
            test = train(arguments)["splits"]["test"]
            tell(f"test WA {test['weighted_accuracy']:.3f}, UA {test['unweighted_accuracy']:.3f}, n {test['n']}")
    except ValueError as error:
        sys.exit(f"train.py: {error}")


def tell(text):
    PartialState().print(text)  # one of several processes speaks


def describe_many(summary):
    test = summary["splits"]["test"]
    shown = {"WA": test["weighted_accuracy"], "UA": test["unweighted_accuracy"]}
    figures = (f"{name} {value['mean']:.3f} ± {value['standard_deviation']:.3f}" for name, value in shown.items())
    return f"test {', '.join(figures)}, mean and standard deviation of {len(summary['runs'])} runs"


if __name__ == "__main__":
    main()
