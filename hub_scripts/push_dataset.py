"""Push a data set that one of datasets_builders made to the Hub: its Parquet files and its card.

    python hub_scripts/push_dataset.py data/synthetic --repo_id org/m4ser-synthetic
"""

import argparse
import sys
from pathlib import Path

from huggingface_hub import HfApi


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder of a builder")
    parser.add_argument("--repo_id", required=True, help="org/name on the Hub")
    parser.add_argument("--private", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.dataset / "README.md").is_file():
        sys.exit(f"error: {arguments.dataset} is no data set: build it with datasets_builders first.")
    api = HfApi()
    api.create_repo(arguments.repo_id, repo_type="dataset", private=arguments.private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=arguments.repo_id,
        repo_type="dataset",
        folder_path=arguments.dataset,
        allow_patterns=["README.md", "**/*.parquet"],
        commit_message="Upload data set",
    )
    print(commit.commit_url)


if __name__ == "__main__":
    main()
