"""What is typed, in the order of the guides as far as later commands do not need what earlier ones make."""

from experiments.rehearsal.steps import Step

PARTIAL = " --allow_partial"
REPOSITORY = "org/m4ser-iemocap"
# Commands of the README and the guides that are not typed, each with the reason.
LEFT_OUT = {
    "make demo": "sets up an environment of its own; the tests run the demo",
    "make test": "the checks of a change run it",
    "pip install .": "the tests build the wheel and use it",
    "pip install '.[report]' jupyter": "the tests run the notebooks",
    "m4ser demo": "the tests run it",
    "python -m experiments.method_figures --run runs/demo/M4SER --dataset runs/demo/corpus "
    "--output_dir docs/figures/method": "the tests draw the figures of a smaller run",
    'sbatch --array=0-3 --gpus=1 --wrap "accelerate launch --config_file configs/launch/one_gpu.yaml train.py '
    'configs/iemocap.yaml --fold all --seeds 0 1 2 --dataset data/iemocap --output_dir runs/iemocap"': (
        "there is no SLURM; what it wraps is typed"
    ),
    "accelerate launch train.py --table configs/tables/systems.yaml configs/ravdess.yaml --dataset data/ravdess "
    "--output_dir runs/systems": "19 systems take too long; the tests train them on a smaller corpus",
    **{
        f"accelerate launch train.py --table configs/tables/{table}.yaml configs/ravdess.yaml --epochs 20 "
        f"--protocol speakers --fold 1 --dataset data/ravdess --output_dir runs/{table}": "takes hours"
        for table in ("systems", "recognition")
    },
    "python hub_scripts/fold_hypotheses.py configs/ravdess.yaml configs/recognition/speech_recognition.yaml "
    "--protocol speakers --fold 1 --dataset data/ravdess --output_dir runs/heads --output own.jsonl": (
        "seven runs take too long; the tests run it on a smaller corpus"
    ),
    "accelerate launch train.py configs/ravdess.yaml configs/recognition/recognition.yaml --recognition_weight 0.01 "
    '--name "+ recognition, weight .01" --epochs 20 --protocol speakers --fold all --seeds 0 1 --dataset data/ravdess '
    "--output_dir runs/evidence/recognition_weight_0.01_at_0.0005": "twelve runs take hours",
    "accelerate launch -m experiments.evidence --dataset data/ravdess --output_dir runs/evidence --epochs 20 "
    "--seeds 0 1": "140 runs take hours; the tests run it on a smaller corpus",
    "python -m experiments.sweep --output_dir runs/sweep": "takes an hour; the tests run it on a few recordings",
    "m4ser serve --model runs/mine --asr openai/whisper-medium.en": "serves until it is stopped; the tests use it",
}


def steps(is_partial: bool) -> list[Step]:
    """Return all steps; the two builders that compare a release with the published one are told that it is partial."""
    partial = PARTIAL if is_partial else ""
    return [*own_recordings(), *ravdess(), *corpora(partial), *transfer(), *several_processes(), *using(), *sharing()]


def own_recordings() -> list[Step]:
    """Return what somebody types who trains on their own recordings."""
    build = "python datasets_builders/manifest.py --data_dir recordings.csv --output_dir data/mine"
    train = "accelerate launch train.py configs/recordings.yaml --dataset data/mine --output_dir runs/mine"
    return [
        Step("m4ser doctor"),
        Step("m4ser init study --recordings recordings"),
        Step(build),
        Step(train, refused=True),
        Step(
            "python hub_scripts/transcribe.py --dataset data/mine --asr openai/whisper-medium.en "
            "--output hypotheses.jsonl"
        ),
        Step(f"{build} --hypotheses hypotheses.jsonl"),
        Step(train),
        Step(
            "accelerate launch train.py configs/recordings.yaml configs/ablations/speech_only.yaml "
            "--dataset data/mine --output_dir runs/mine-speech"
        ),
        Step(
            "accelerate launch train.py configs/recordings.yaml --speech_encoder facebook/hubert-base-ls960 "
            "--text_encoder google-bert/bert-base-uncased --dataset data/mine --output_dir runs/mine-pretrained"
        ),
        Step(
            "accelerate launch train.py configs/recordings.yaml --speech_encoder openai/whisper-base "
            "--text_encoder google-bert/bert-base-uncased --max_seconds 27 --dataset data/mine "
            "--output_dir runs/whisper"
        ),
        Step("m4ser predict speech.wav --model runs/whisper --asr openai/whisper-base --json"),
    ]


def ravdess() -> list[Step]:
    """Return the results on RAVDESS, other systems and ablations."""
    train = "accelerate launch train.py"
    options = "configs/ravdess.yaml --dataset data/ravdess --output_dir runs"
    table = f"{train} --table configs/tables/table_%d.yaml {options}/tables"
    return [
        Step("python datasets_builders/ravdess.py --data_dir ../shared/data/ravdess16k --output_dir data/ravdess"),
        Step(f"{train} {options}/ravdess"),
        Step(f"{train} configs/ravdess.yaml configs/systems/sams.yaml --dataset data/ravdess --output_dir runs/sams"),
        Step(table % 4, copies=2),
        Step(table % 5),
        Step(table % 6),
        Step(f"{train} {options}/tables/full --seeds 0 --learning_rate 0.1", refused=True),
        Step("m4ser baselines --dataset data/ravdess --output_dir runs/baselines"),
        Step("m4ser latency runs/ravdess --dataset data/ravdess"),
        Step(
            "accelerate launch -m experiments.learning --dataset data/ravdess --output_dir runs/learning --quick",
            copies=2,
        ),
        Step("m4ser report runs/ravdess runs/learning --dataset data/ravdess --output_dir report"),
        Step("m4ser robustness runs/ravdess --dataset data/ravdess"),
        *(
            Step(
                f"{train} configs/ravdess.yaml configs/recognition/{config}.yaml --dataset data/ravdess "
                f"--output_dir runs/{folder}"
            )
            for config, folder in (("recognition", "recognition"), ("own_hypotheses", "own"))
        ),
    ]


def corpora(partial: str) -> list[Step]:
    """Return what builds IEMOCAP and MELD, transcribes them on two processes, and trains on them."""
    iemocap = "python datasets_builders/iemocap.py --data_dir IEMOCAP_full_release --output_dir data/iemocap"
    meld = "python datasets_builders/meld.py --data_dir MELD.Raw --output_dir data/meld"
    transcribe = "torchrun --nproc_per_node 2 hub_scripts/transcribe.py --dataset data"
    hypotheses = "--output hypotheses.jsonl"
    train = "accelerate launch train.py"
    all_runs = (
        f"{train} configs/iemocap.yaml --fold all --seeds 0 1 2 --dataset data/iemocap --output_dir runs/iemocap"
    )
    return [
        Step(f"{iemocap}{partial}"),
        Step(f"{meld}{partial}"),
        Step(f"{meld}-text --text_only{partial}"),
        Step(f"{transcribe}/iemocap --asr openai/whisper-medium.en {hypotheses}"),
        Step(f"{iemocap} --hypotheses hypotheses.jsonl{partial}"),
        Step(f"{transcribe}/meld --asr openai/whisper-large-v2 --language en {hypotheses}"),
        Step(f"{meld} --hypotheses hypotheses.jsonl{partial}"),
        Step("m4ser wer data/iemocap"),
        Step("m4ser wer data/meld"),
        Step(all_runs, copies=2, killed_at=7, output="runs/iemocap"),
        Step(
            f"{train} configs/iemocap.yaml configs/literal.yaml --fold all --dataset data/iemocap "
            "--output_dir runs/literal",
            copies=2,
        ),
        Step(f"{train} configs/meld.yaml --dataset data/meld --output_dir runs/meld"),
        Step(
            f"{train} configs/meld_text.yaml --text_encoder google-bert/bert-base-uncased --dataset data/meld-text "
            "--output_dir runs/meld-text"
        ),
        Step("m4ser report runs/iemocap runs/literal runs/meld --dataset data/iemocap --output_dir report-iemocap"),
        Step("m4ser robustness runs/iemocap/fold1_seed0 --dataset data/iemocap"),
    ]


def transfer() -> list[Step]:
    """Return the paper's Tables VIII and IX from IEMOCAP to MELD, and the adaptation of a trained model."""
    cross = "python datasets_builders/cross_corpus.py --source data/iemocap --target data/meld"
    train, official = "accelerate launch train.py", "configs/iemocap.yaml --protocol official"
    both = "--dataset data/iemocap-to-meld%s --output_dir runs/iemocap-to-meld%s"
    return [
        Step(f"{cross} --output_dir data/iemocap-to-meld"),
        Step(f"{train} {official} {both % ('', '')}"),
        Step(
            f"{train} {official} --init_from runs/iemocap-to-meld --shots 5 --dataset data/iemocap-to-meld "
            "--output_dir runs/adapted-5"
        ),
        Step(f"{train} --table configs/tables/table_8.yaml {official} {both % ('', '')}", copies=2),
        Step(f"{cross} --shots 5 --output_dir data/iemocap-to-meld-5-shots"),
        Step(f"{train} --table configs/tables/table_9.yaml {official} {both % ('-5-shots', '-5-shots')}", copies=2),
        Step("m4ser report runs/iemocap-to-meld runs/iemocap-to-meld-5-shots runs/adapted-5 --output_dir report-9"),
    ]


def several_processes() -> list[Step]:
    """Return a run on four processes, on two, and what a job of SLURM types."""
    meld = "train.py configs/meld.yaml --dataset data/meld --output_dir runs"
    return [
        Step(
            f"accelerate launch --config_file configs/launch/several_gpus.yaml --num_processes 4 {meld}/meld-4 "
            "--batch_size 4"
        ),
        Step(f"torchrun --nproc_per_node 2 {meld}/meld-2"),
        Step(
            "accelerate launch --config_file configs/launch/one_gpu.yaml train.py configs/iemocap.yaml --fold all "
            "--seeds 0 1 2 --dataset data/iemocap --output_dir runs/iemocap"
        ),
    ]


def using() -> list[Step]:
    """Return what uses a trained model on the command line."""
    return [
        Step("m4ser predict recordings/ --model runs/ravdess --correct --json"),
        Step("m4ser predict recordings/ --model runs/ravdess --dtype bfloat16"),
        Step("m4ser predict meeting.flac --model runs/ravdess --timeline"),
        Step("m4ser predict meeting.flac --model runs/ravdess --rttm meeting.rttm --srt meeting.srt"),
        Step("m4ser predict a.wav --model runs/nowhere", refused=True),
        Step("m4ser predict speech.wav --model runs/recognition --json"),
        Step("m4ser predict recordings/ --model runs/ravdess --output scores"),
        Step("m4ser predict recordings.csv --model runs/mine --output scores", refused=True),
        Step("m4ser predict recordings.csv --model runs/mine --output scores-mine"),
        Step("accelerate launch -m m4ser_cli predict data/mine --model runs/mine --output scores-dataset"),
        Step("m4ser predict recordings/ --model runs/mine --output scores.csv"),
        Step("m4ser calibrate runs/ravdess --dataset data/ravdess"),
        Step("m4ser export runs/ravdess"),
        Step("m4ser predict recordings/ --model runs/ravdess --backend onnx"),
        Step("m4ser evaluate runs/ravdess --dataset data/ravdess --split test"),
        Step("m4ser evaluate runs/iemocap/fold2_seed1 --dataset data/iemocap --split test"),
        Step("m4ser calibrate runs/iemocap/fold2_seed1 --dataset data/iemocap"),
        Step("m4ser export runs/iemocap/fold2_seed1"),
    ]


def sharing() -> list[Step]:
    """Return what pushes to the Hub, and loads in a process that has no m4ser."""
    return [
        Step(f"python hub_scripts/push_model.py runs/iemocap/fold1_seed0 --repo_id {REPOSITORY}"),
        Step("python hub_scripts/push_dataset.py data/ravdess --repo_id org/m4ser-ravdess"),
        Step(f"HF_HOME=$PWD/elsewhere python -I elsewhere.py {REPOSITORY} speech.wav"),
        Step(f"m4ser predict a.wav --model {REPOSITORY} --text 'it is fine'"),
    ]
