"""From a run to a repository on the Hub: the folder as it was saved, with a card of what was measured."""

import json
from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.utils import httpx

RUN_FILES = ["*.safetensors", "*.json", "*.py", "README.md"]


def write_card(run, repo_id, template, licence="apache-2.0", dataset=None):
    """Write RUN/README.md from a template and the run's results.

    Args:
        run: folder of a finished run. repo_id: "org/name" that the card speaks of.
        template: path of the card's Jinja template, model_card.md. dataset: name or Hub id of the corpus.

    Returns:
        `ModelCard`.

    Raises:
        ValueError: the run has no test results; a model without an evaluation has no card.
    """
    results = read_results(run)
    scores = results["splits"]["test"]
    dataset = dataset or _corpus_name(results["config"]["data"]["dataset"])
    data = ModelCardData(
        license=licence,
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
            for metric in ("weighted_accuracy", "unweighted_accuracy", "weighted_f1")
        ],
    )
    card = ModelCard.from_template(
        data, template_path=str(template), repo_id=repo_id, dataset=dataset, results=results, scores=scores
    )
    card.save(Path(run) / "README.md")
    return card


def push(run, repo_id, template, private=False, dataset=None):
    """Create `repo_id` on the Hub and upload a run's weights, processor, code and card; returns the commit's address.

    Raises:
        ValueError: the run has no test results.
    """
    write_card(run, repo_id, template, dataset=dataset)
    return upload(run, repo_id, "model", RUN_FILES, private)


def upload(folder, repo_id, repo_type, patterns, private=False):
    """Create a repository where there is none and upload the folder's files; returns the commit's address.

    Args:
        repo_type: "model" or "dataset". patterns: of the paths to upload, relative to `folder`.

    Raises:
        ValueError: no such name, no permission, or no connection.
    """
    folder, api = Path(folder), HfApi()
    files = [file.relative_to(folder).as_posix() for pattern in patterns for file in sorted(folder.glob(pattern))]
    try:
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type=repo_type,
            folder_path=folder,
            allow_patterns=files,
            commit_message=f"Upload {repo_type}",
        )
    except (httpx.HTTPError, OSError) as error:
        raise ValueError(f"{repo_id} was not pushed to {api.endpoint}: {str(error).splitlines()[0]}") from error
    return commit.commit_url


def _corpus_name(dataset):
    """A Hub id as it is; of a folder its name, since its path means nothing elsewhere."""
    path = Path(dataset)
    return path.resolve().name if path.is_absolute() or path.is_dir() else dataset


def read_results(run):
    """RUN/results.json.

    Raises:
        ValueError: there is none, or it has no test scores.
    """
    path = Path(run) / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    if "test" not in results.get("splits", {}):
        raise ValueError(f"{run} has no test results: finish its training before it is pushed.")
    return results
