"""Models on the Hub: a run's folder as it was saved, with a card of what was measured."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from m4ser.files import write_whole
from m4ser.hub.upload import upload
from m4ser.run_folder import CONFUSION_MATRIX, MEASURES, RESULTS, read_tested_results

RUN_FILES = ["*.safetensors", "*.json", "*.py", "README.md", CONFUSION_MATRIX]
# Files of settings, in which a path of this machine may stand.
SETTINGS = ("config.json", "processor_config.json", "tokenizer_config.json", RESULTS)


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
    results = without_local_paths(measured)
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
        dataset=dataset,
        license=license,
        results=results,
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
    neutral = {name: without_local_paths(json.loads(path.read_text())) for name, path in settings.items()}
    contents = {name: json.dumps(content, indent=2).encode() for name, content in neutral.items()}
    return upload(run, repo_id, "model", RUN_FILES, private, contents)


def without_local_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON holds them, with the last name of each path that means nothing elsewhere.

    Those are absolute paths and those that lead out of the working folder, such as "../data", as values and in
    "command".
    """
    paths = sorted(set(_local_paths(settings)), key=len, reverse=True)
    return _replace(settings, {path: Path(path).name for path in paths})


def _local_paths(value: Any, name: str | None = None) -> list[str]:
    if isinstance(value, dict):
        return [path for key, item in value.items() for path in _local_paths(item, key)]
    if isinstance(value, list):
        return [path for item in value for path in _local_paths(item)]
    if not isinstance(value, str):
        return []
    # A command line is no path, though it may begin like one.
    found = re.findall(r"(?:^|(?<=[\s=]))(?:\.\.|~)?/\S+", value) if name == "command" else [value]
    return [path for path in found if Path(path).name and (os.path.isabs(path) or path.startswith(("../", "~/")))]


def _replace(value: Any, names: Mapping[str, str], key: str | None = None) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, names, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, names) for item in value]
    if key == "command":
        for path, name in names.items():  # the longest first: a path may begin another
            value = value.replace(path, name)
    return names.get(value, value) if isinstance(value, str) else value


def _corpus_name(dataset: str) -> str:
    """Return a Hub id as it is; of a folder its name, since its path means nothing elsewhere."""
    path = Path(dataset)
    return path.resolve().name if path.is_absolute() or path.is_dir() else dataset
