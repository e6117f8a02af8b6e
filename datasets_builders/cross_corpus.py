"""Build a corpus to train on and another to test on, as `m4ser build cross_corpus` does."""

from m4ser.corpora.cross_corpus import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
