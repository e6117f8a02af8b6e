"""Build the synthetic demo corpus, as `m4ser build synthetic` does."""

from m4ser.corpora.synthetic import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
