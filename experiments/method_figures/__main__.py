"""Draw the figures of docs/method.md, docs/index.md and the README, the same bytes for the same run.

    m4ser demo
    python -m experiments.method_figures --run runs/demo/M4SER --dataset runs/demo/corpus --output_dir FOLDER

FOLDER is docs/figures/method. The forward is that of the dataset's first test recording. Half a minute.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.method_figures.architecture import architecture
from experiments.method_figures.forward import Forward, run_forward, test_embeddings
from experiments.method_figures.fusion import attention_maps, generator_masks, resampling
from experiments.method_figures.streams import emotion_scores, encoders, prediction
from experiments.method_figures.text import correction_steps, detection
from experiments.method_figures.training import adversary, similarities
from m4ser.evaluation.report.figures import styled

OF_THE_FORWARD = {
    "architecture": architecture,
    "encoders": encoders,
    "detection": detection,
    "correction": correction_steps,
    "attention": attention_maps,
    "resampling": resampling,
    "generator": generator_masks,
    "emotion": emotion_scores,
    "prediction": prediction,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description="The figures of docs/method.md.")
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained M4SER")
    parser.add_argument("--dataset", required=True, help="its dataset")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the SVG files go")
    options = parser.parse_args(arguments)
    draw_all(options.run, options.dataset, options.output_dir)


@styled
def draw_all(run: Path, dataset: str, output_dir: Path) -> None:
    """Write each figure as output_dir/NAME.svg."""
    forward: Forward = run_forward(run, dataset)
    figures = {name: draw(forward) for name, draw in OF_THE_FORWARD.items()}
    figures["adversary"] = adversary(run)
    figures["similarities"] = similarities(*test_embeddings(run, dataset))
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(output_dir / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
