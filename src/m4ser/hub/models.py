"""Models on the Hub: a run's folder as it was saved, with a card of what was measured."""

import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from m4ser.escaping import escape_markdown
from m4ser.files import write_whole
from m4ser.hub.private import without_private
from m4ser.hub.upload import upload
from m4ser.run_folder import CONFUSION_MATRIX, LATENCY, MEASURES, RESULTS, ROBUSTNESS, read_tested_results

# What a model is, and what was measured with it; whatever else lies in the folder is not for the Hub.
WEIGHTS_AND_CODE = ("model*.safetensors", "model.safetensors.index.json", "*_m4ser.py")
VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.model")
# Files of settings, in which a path of this machine may stand.
SETTINGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    RESULTS,
    LATENCY,
    ROBUSTNESS,
)
RUN_FILES = (*WEIGHTS_AND_CODE, *VOCABULARY, *SETTINGS, "README.md", CONFUSION_MATRIX)


def write_card(
    run: str | Path,
    repo_id: str,
    template: str | Path,
    license: str = "apache-2.0",
    dataset: str | None = None,
) -> ModelCard:
    """Write RUN/README.md from a template and the run's results; it shows RUN/confusion_matrix.png where that is.

    Args:
        run: folder of a finished run. repo_id: "org/name" that the card speaks of.
        template: path of the card's Jinja template, model_card.md. license: of the weights, as the Hub calls it.
        dataset: name or Hub id of the corpus.

    Returns:
        `ModelCard`.

    Raises:
        ValueError: the run is not finished; a model without an evaluation has no card.
    """
    measured = read_tested_results(run)
    results = without_private(measured)
    scores = results["splits"]["test"]
    dataset = dataset or _corpus_name(measured["config"]["data"]["dataset"])
    data = ModelCardData(
        license=license,
        language="en",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["m4ser", "speech-emotion-recognition"],
        model_name=repo_id,
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split="test",
                metric_type=metric,
                metric_value=round(scores[metric], 4),
            )
            for metric in MEASURES
        ],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(template),
        repo_id=repo_id,
        dataset=escape_markdown(dataset),
        license=license,
        results=results | {"labels": list(map(escape_markdown, results["labels"]))},
        scores=scores,
        figure=CONFUSION_MATRIX if (Path(run) / CONFUSION_MATRIX).is_file() else None,
    )
    write_whole(Path(run) / "README.md", str(card))
    return card


def push(
    run: str | Path,
    repo_id: str,
    template: str | Path,
    private: bool = False,
    license: str = "apache-2.0",
    dataset: str | None = None,
) -> str:
    """Create `repo_id` on the Hub and upload a run's weights, processor, code and card; returns the commit's address.

    Raises:
        ValueError: the run is not finished, or as of `upload`.
    """
    write_card(run, repo_id, template, license, dataset)
    settings = {name: Path(run) / name for name in SETTINGS if (Path(run) / name).is_file()}
    neutral = {name: without_private(json.loads(path.read_text())) for name, path in settings.items()}
    contents = {name: json.dumps(content, indent=2).encode() for name, content in neutral.items()}
    return upload(run, repo_id, "model", RUN_FILES, private, contents)


def _corpus_name(dataset: str) -> str:
    """Return a Hub id as it is; of a folder its name, since its path means nothing elsewhere."""
    path = Path(dataset)
    return path.resolve().name if path.is_absolute() or path.is_dir() else dataset
