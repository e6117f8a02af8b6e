"""Build IEMOCAP, as `m4ser build iemocap` does."""

from m4ser.corpora.iemocap import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
