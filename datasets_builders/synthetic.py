"""Build the synthetic demo corpus (`m4ser.data.synthetic` says how it is made). It needs no download:

python datasets_builders/synthetic.py --output_dir data/synthetic
"""

from m4ser.data.building import argument_parser, encode_flac, load_tokenizer, run
from m4ser.data.schema import Utterance, write_dataset
from m4ser.data.synthetic import EMOTIONS, SIZES, SyntheticUtterance, best_accuracy, synthesize


def to_row(utterance: SyntheticUtterance) -> Utterance:
    audio = encode_flac(utterance.audio)
    return Utterance(**vars(utterance) | {"audio": audio, "path": f"{utterance.id}.flac"})


def main() -> None:
    parser = argument_parser(__doc__, raw_data=None)
    parser.add_argument("--seed", type=int, default=0)
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}_size", type=int, default=size, help=f"utterances ({size} by default)")
    arguments = parser.parse_args()
    sizes = {split: getattr(arguments, f"{split}_size") for split in SIZES}
    ceilings = ", ".join(f"{share:.2f} from {source}" for source, share in best_accuracy().items())
    write_dataset(
        (to_row(utterance) for utterance in synthesize(arguments.seed, sizes)),
        EMOTIONS,
        arguments.output_dir,
        title="M4SER synthetic demo corpus",
        description="Made on the spot: prosody tells arousal, one word tells valence, and one in five of these "
        f"words is lost in the hypothesis. Best possible accuracy: {ceilings}.",
        license_id="apache-2.0",
        tokenizer=load_tokenizer(arguments.tokenizer),
    )


if __name__ == "__main__":
    run(main)
