"""Where models and datasets come from: a folder here or an id on the Hub; what is neither is refused at once."""

from pathlib import Path
from typing import Literal

from datasets import config as datasets_config
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.file_download import repo_folder_name

HUB_TIMEOUT = 5.0  # seconds


def refuse_missing(name: str | Path, kind: str, repo_type: Literal["model", "dataset"] = "model") -> None:
    """Refuse a name that leads nowhere, before a library tries the Hub for a minute.

    No Hub id are `/a`, `./a`, `~/a`, `a/b/c`, and `a/b` where there is a folder `a`. What may be one is looked for in
    the cache, then on the Hub, once.

    Args:
        kind: what is to be there, as "model".

    Raises:
        ValueError: naming it.
    """
    path = Path(name).expanduser()
    if path.exists():
        return
    is_local = (
        str(name).startswith((".", "~", "/")) or len(path.parts) > 2 or (path.parts[1:] and path.parent.is_dir())
    )
    if is_local:
        raise ValueError(f"There is no {kind} {name}: no such folder.")
    if constants.HF_HUB_OFFLINE:
        return  # the library that loads it looks no further than the cache
    try:
        if _is_cached(str(name), repo_type):
            return
        HfApi().repo_info(str(name), repo_type=repo_type, timeout=HUB_TIMEOUT)
    except GatedRepoError:
        return  # it is there, and the library that loads it says what to do
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ValueError(
            f"There is no {kind} {name}: no such folder, and none on the Hub that can be seen from here."
        ) from error
    except HfHubHTTPError:
        return  # the Hub is there; what it objects to, the library that loads it says
    except Exception as error:  # of the HTTP client, which changes with the version of huggingface_hub
        raise ValueError(f"There is no {kind} {name}: no such folder, and the Hub cannot be reached.") from error


def _is_cached(repo_id: str, repo_type: str) -> bool:
    downloaded = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type=repo_type)
    prepared = Path(datasets_config.HF_DATASETS_CACHE) / repo_id.replace("/", "___")
    return downloaded.is_dir() or (repo_type == "dataset" and prepared.is_dir())
