"""Push a dataset that one of datasets_builders made to the Hub: its Parquet files and its card.

python hub_scripts/push_dataset.py data/synthetic --repo_id org/m4ser-synthetic

The recordings go with it where the license in the card lets them be passed on; IEMOCAP's and MELD's stay here. So do
paths of this machine: in what is pushed, their last names stand for them.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from m4ser.hub.datasets import copy_for_hub, is_private, is_redistributable, license_of
from m4ser.hub.upload import upload

PATTERNS = ["README.md", "data/*.parquet", "report.json"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of a builder")
    parser.add_argument("--repo_id", required=True, help="org/name on the Hub")
    parser.add_argument("--private", action="store_true")
    audio = parser.add_mutually_exclusive_group()
    audio.add_argument("--with_audio", action="store_true", help="push the recordings, whatever the license")
    audio.add_argument("--without_audio", action="store_true", help="push the texts and labels alone")
    arguments = parser.parse_args()
    try:
        print(push(arguments))
    except ValueError as error:
        sys.exit(f"error: {error}")


def push(arguments):
    """Upload what may be uploaded; returns the commit's address."""
    license = license_of(arguments.dataset)
    with_audio = arguments.with_audio or (is_redistributable(license) and not arguments.without_audio)
    has_paths = is_private(arguments.dataset)
    if with_audio and not has_paths:
        return upload(arguments.dataset, arguments.repo_id, "dataset", PATTERNS, arguments.private)
    if not with_audio and not arguments.without_audio:
        print(
            f"The recordings stay here: the license {license!r} is not known to let them be passed on (--with_audio).",
            file=sys.stderr,
        )
    with TemporaryDirectory() as copy:
        copy_for_hub(arguments.dataset, copy, with_audio)
        return upload(copy, arguments.repo_id, "dataset", PATTERNS, arguments.private)


if __name__ == "__main__":
    main()
