"""Build anyone's recordings, listed in a manifest, as `m4ser build manifest` does."""

from m4ser.corpora.manifest import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
