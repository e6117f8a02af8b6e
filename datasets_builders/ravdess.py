"""Build RAVDESS, as `m4ser build ravdess` does."""

from m4ser.corpora.ravdess import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
