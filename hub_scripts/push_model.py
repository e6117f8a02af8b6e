"""Push a finished run to the Hub: weights, processor, code and a card of its measured results.

Paths of this machine stay here: in what is pushed, their last names stand for them.

python hub_scripts/push_model.py runs/ravdess --repo_id org/m4ser-ravdess
"""

import argparse
import sys
from pathlib import Path

from m4ser.evaluation.report import plot_confusion_matrix
from m4ser.hub.models import push
from m4ser.run_folder import CONFUSION_MATRIX, read_tested_results

TEMPLATE = Path(__file__).parent.parent / "model_card.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--repo_id", required=True, help="org/name on the Hub")
    parser.add_argument("--dataset", help="name of the corpus in the card; that of the run by default")
    parser.add_argument("--license", default="apache-2.0", help="of the weights, as the Hub calls it")
    parser.add_argument("--private", action="store_true")
    arguments = parser.parse_args()
    try:
        results = read_tested_results(arguments.run)
        matrix = results["splits"]["test"]["confusion_matrix"]
        plot_confusion_matrix(matrix, results["labels"], arguments.run / CONFUSION_MATRIX)
        url = push(
            arguments.run,
            arguments.repo_id,
            TEMPLATE,
            private=arguments.private,
            license=arguments.license,
            dataset=arguments.dataset,
        )
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(url)


if __name__ == "__main__":
    main()
