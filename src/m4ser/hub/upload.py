"""Upload of a folder's files to a repository on the Hub, in one commit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

try:  # the one that it raises errors of, httpx2 from some version on
    from huggingface_hub.utils import httpx
except ImportError:
    import httpx  # type: ignore[import-not-found,no-redef]


def upload(
    folder: str | Path,
    repo_id: str,
    repo_type: str,
    patterns: Sequence[str],
    private: bool = False,
    contents: Mapping[str, bytes] | None = None,
) -> str:
    """Create a repository where there is none and upload the folder's files; returns the commit's address.

    Args:
        repo_type: "model" or "dataset". patterns: of the paths to upload, relative to `folder`.
        contents: bytes that go up instead of a file's own, by its path.

    Raises:
        ValueError: no such name, no permission, or no connection.
    """
    folder, api, contents = Path(folder), HfApi(), contents or {}
    files = [file.relative_to(folder).as_posix() for pattern in patterns for file in sorted(folder.glob(pattern))]
    try:
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, contents.get(name, folder / name)) for name in files]
        commit = api.create_commit(repo_id, operations, commit_message=f"Upload {repo_type}", repo_type=repo_type)
    except (httpx.HTTPError, OSError) as error:
        raise ValueError(f"{repo_id} was not pushed to {api.endpoint}: {str(error).splitlines()[0]}") from error
    return commit.commit_url
