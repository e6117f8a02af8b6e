"""Build the synthetic demo corpus (`m4ser.data.synthetic` says how it is made). It needs no download:

python datasets_builders/synthetic.py --output_dir data/synthetic
"""

from m4ser.data.builders.builder_cli import argument_parser, load_tokenizer
from m4ser.data.builders.card import summary
from m4ser.data.synthetic import EMOTIONS, SIZES, write_corpus


def main() -> None:
    parser = argument_parser(__doc__, raw_data=None)
    parser.add_argument("--seed", type=int, default=0)
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}_size", type=int, default=size, help=f"utterances ({size} by default)")
    arguments = parser.parse_args()
    sizes = {split: getattr(arguments, f"{split}_size") for split in SIZES}
    statistics = write_corpus(arguments.output_dir, arguments.seed, sizes, load_tokenizer(arguments.tokenizer))
    print(summary(EMOTIONS, statistics))
