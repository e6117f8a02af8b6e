"""Build MELD, as `m4ser build meld` does."""

from m4ser.corpora.meld import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
