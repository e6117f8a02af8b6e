"""The paper's figures of representations, for which a run's model and its dataset are needed, and Table VII."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from m4ser.evaluation.paper.attention_figures import attention_figure
from m4ser.evaluation.paper.published import published
from m4ser.evaluation.paper.representations import STREAMS, RunEncoder, Vectors, Weights, warping_distance
from m4ser.evaluation.report.figures import MARKERS, PALETTE, Plot, finished, new_figure, styled
from m4ser.evaluation.report.runs import Group, Run, representative
from m4ser.evaluation.report.table import Entry, Table

if TYPE_CHECKING:
    import datasets
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMBEDDED = ("speech only", "text only", "w/o LCL", "full")  # the panels of Fig. 9
ADVERSARIAL = ("w/o GAN", "full")  # before and after, in Fig. 10
EXAMPLES = 2
PANELS = 4  # of an example and a text in Fig. 11
STREAM_NAMES = {
    "speech_specific": "speech-specific",
    "text_specific": "text-specific",
    "invariant": "invariant",
}
COLUMNS = {"hypothesis": "ASR", "transcript": "GT"}
COMPARED = 100  # recordings at most in Table VII's mean: each costs two forward passes


def representations(groups: Sequence[Group], dataset: str | Path) -> tuple[list[Plot], list[Table]]:
    """Draw Figs. 9, 10 and 11, attention maps, and Table VII: (plots, tables).

    Args:
        groups: of runs on `dataset`; of each row of the paper the one with the most runs is used, its first run.

    Raises:
        ValueError: none of these runs has a row in the figures, or another dataset was tested.
    """
    found = {name: representative(groups, name) for name in {*EMBEDDED, *ADVERSARIAL}}
    encoders = {name: (group.first, RunEncoder(group.first, dataset)) for name, group in found.items() if group}
    if not encoders:
        names = ", ".join(EMBEDDED)
        raise ValueError(f"No run given on {dataset} is one whose representations the paper draws ({names}, w/o GAN).")
    vectors = {name: (run, encoder.vectors()) for name, (run, encoder) in encoders.items()}
    corpus = groups[0].corpus
    plots: list[Plot] = []
    tables: list[Table] = []
    if chosen := [name for name in EMBEDDED if name in vectors]:
        labels = groups[0].labels
        plots.append(embeddings({name: vectors[name] for name in chosen}, labels, corpus))
    if chosen := [name for name in ADVERSARIAL if name in vectors and len(vectors[name][1].streams) == len(STREAMS)]:
        plots.append(streams({name: vectors[name] for name in chosen}, corpus))
    if "full" in encoders:
        run, encoder = encoders["full"]
        both = both_texts(encoder.rows)
        if both:
            plots.append(weights_over_time(run, encoder, both[:EXAMPLES], corpus))
            tables.append(consistency_table(run, encoder, both[:COMPARED], corpus))
        examples = (both or by_id(encoder.rows))[:EXAMPLES]
        plots.append(attention_figure(run, encoder, examples, corpus))
    return plots, tables


def both_texts(rows: "datasets.Dataset") -> list[int]:
    """Return the indices of the recordings whose two texts are there and differ, by their ids' order."""
    pairs = zip(rows["hypothesis"], rows["transcript"], strict=True)
    differ = {
        index
        for index, (hypothesis, transcript) in enumerate(pairs)
        if hypothesis and transcript and hypothesis.lower() != transcript.lower()
    }
    return [index for index in by_id(rows) if index in differ]


def by_id(rows: "datasets.Dataset") -> list[int]:
    """Return the indices of all recordings, by their ids' order."""
    ids = rows["id"][:]
    return sorted(range(len(ids)), key=lambda index: ids[index])


@styled
def embeddings(vectors: Mapping[str, tuple[Run, Vectors]], labels: Sequence[str], corpus: str) -> Plot:
    """Draw Fig. 9: t-SNE of the embeddings by emotion, a panel a model."""
    figure, axes = new_figure(len(vectors), width=3.1, height=2.9)
    for axis, (name, (_, found)) in zip(axes, vectors.items(), strict=True):
        _scatter(axis, name, flat(found.embeddings), found.labels, labels)
    _shared_legend(figure, axes[0])
    sources = [run.folder / "model.safetensors" for run, _ in vectors.values()]
    caption = "t-SNE (van der Maaten and Hinton 2008) of the emotion head's input, test recordings by true emotion. "
    caption += "The axes have no unit, and distances between far clusters no meaning."
    return finished(figure, f"fig9-{corpus}", f"Fig. 9: embeddings on {corpus}", caption, sources)


@styled
def streams(vectors: Mapping[str, tuple[Run, Vectors]], corpus: str) -> Plot:
    """Draw Fig. 10: t-SNE of both specific representations and the invariant one, without and with the adversary."""
    figure, axes = new_figure(len(vectors), width=3.8, height=3.2)
    for axis, (name, (_, found)) in zip(axes, vectors.items(), strict=True):
        points = flat(np.concatenate([found.streams[stream] for stream in STREAMS]))
        kinds = np.repeat(np.arange(len(STREAMS)), len(found.labels))
        title = "without adversarial learning" if name == "w/o GAN" else "with adversarial learning"
        _scatter(axis, title, points, kinds, list(STREAM_NAMES.values()))
    _shared_legend(figure, axes[0])
    sources = [run.folder / "model.safetensors" for run, _ in vectors.values()]
    caption = "t-SNE of each representation's mean over time, test recordings."
    if len(vectors) < len(ADVERSARIAL):
        caption += " A run of configs/ablations/without_gan.yaml or of the full model would give the other panel."
    return finished(figure, f"fig10-{corpus}", f"Fig. 10: representations on {corpus}", caption, sources)


def flat(points: np.ndarray) -> np.ndarray:
    """Reduce points (n, d) by t-SNE to two dimensions, (n, 2), the same for the same points."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ValueError("t-SNE needs scikit-learn: pip install 'm4ser[report]'.") from error

    perplexity = min(30, max(1, (len(points) - 1) / 3))
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)


def _scatter(axis: "Axes", title: str, points: np.ndarray, kinds: np.ndarray, names: Sequence[str]) -> None:
    for kind, name in enumerate(names):
        chosen = points[kinds == kind]
        color, marker = PALETTE[kind % len(PALETTE)], MARKERS[kind % len(MARKERS)]
        axis.scatter(
            chosen[:, 0], chosen[:, 1], s=12, color=color, marker=marker, alpha=0.75, linewidths=0, label=name
        )
    axis.set(title=title, xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")


def _shared_legend(figure: "Figure", axis: "Axes") -> None:
    """Add a legend below the panels, in as many columns as fit the figure's width."""
    handles, names = axis.get_legend_handles_labels()
    for columns in range(min(len(names), 8), 0, -1):
        legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        legend.remove()


@styled
def weights_over_time(run: Run, encoder: RunEncoder, indices: Sequence[int], corpus: str) -> Plot:
    """Draw Fig. 11: the weights of frames and words before and after cross-modal learning, under each text."""
    figure, axes = new_figure(len(indices) * len(COLUMNS) * PANELS, width=5.6, height=0.95, columns=len(COLUMNS))
    captions = []
    for example, index in enumerate(indices):
        row = encoder.rows[index]
        for number, (column, name) in enumerate(COLUMNS.items()):
            found = encoder.weights(row, column)
            first = example * PANELS * len(COLUMNS) + number
            panels = axes[first : first + PANELS * len(COLUMNS) : len(COLUMNS)]
            _draw_weights(panels, found, f"({'ab'[example]}) {name}: predicts {found.prediction}")
        truth = encoder.rows.features["emotion"].names[row["emotion"]]
        captions.append(f"({'ab'[example]}) {row['id']}, truly {truth}")
    caption = (
        f"{'; '.join(captions)}. Dark is much: the Euclidean norm of the features, scaled to 0..1; a word is the mean "
        "of its tokens. Before cross-modal learning, H_S over time and H_T over words. After it, both over words: "
        "Ĥ_S^spe is eq. 8's, the speech that each word attended to; Ĥ_T^spe, which the paper does not define, is eq. "
        "10's text with each frame spread over the words by its attention. The first two test recordings, by id, "
        "whose two texts differ; the full model."
    )
    sources = [run.folder / "model.safetensors"]
    return finished(figure, f"fig11-{corpus}", f"Fig. 11: representation weights on {corpus}", caption, sources)


def _draw_weights(panels: "Sequence[Axes]", found: Weights, title: str) -> None:
    over_words = {
        "$H_T$": found.text,
        "$\\hat{H}_S^{spe}$": found.speech_attended,
        "$\\hat{H}_T^{spe}$": found.text_attended,
    }
    curves = {"$H_S$": found.speech, **over_words}
    for axis, (name, curve) in zip(panels, curves.items(), strict=True):
        end = len(curve) if name in over_words else found.seconds
        axis.imshow(curve[None], aspect="auto", cmap="Blues", vmin=0, vmax=1, extent=(0, end, 0, 1))
        axis.set(yticks=[])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        if name in over_words:
            axis.set_xticks(np.arange(len(curve)) + 0.5, labels=[])
    panels[0].set_title(title)
    panels[0].set_xlabel("time (s)")
    panels[-1].set_xticks(np.arange(len(found.words)) + 0.5, found.words, rotation=40, ha="right", fontsize=7)


def consistency_table(run: Run, encoder: RunEncoder, indices: Sequence[int], corpus: str) -> Table:
    """Show Table VII: distance between the speech and the text representation, under ASR and under human text."""
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()["VII"]:
        entries = [
            Entry(row[name], form="{:.2f}", source=f"{published()['paper']}, Table VII") for name in COLUMNS.values()
        ]
        rows.append([f"paper, example ({row['example']})", *entries])
        ours.append(False)
    source = (run.folder / "model.safetensors").as_posix()
    distances = []
    for index in indices:
        found = [encoder.weights(encoder.rows[index], column) for column in COLUMNS]
        distances.append([warping_distance(item.speech_attended, item.text_attended) for item in found])
    for number, pair in enumerate(distances[:EXAMPLES]):
        name = f"{corpus}, example ({'ab'[number]}): {encoder.rows[indices[number]]['id']}"
        rows.append([name, *(Entry(value, form="{:.3f}", source=source) for value in pair)])
    mean, spread = np.mean(distances, axis=0), np.std(distances, axis=0)
    rows.append(
        [f"{corpus}, mean of {len(distances)} test recordings"]
        + [Entry(float(m), float(s), form="{:.3f}", source=source) for m, s in zip(mean, spread, strict=True)]
    )
    closer = sum(asr < human for asr, human in distances)
    notes = [
        "Dynamic time warping, less is more alike. The paper names neither what it warps nor the distance: here the "
        "two curves of Fig. 11 after cross-modal learning, both over words, absolute difference, divided by the "
        "lengths' sum, so that the paper's figures and ours are not on one scale.",
        f"The ASR text is closer to the speech than the human text in {closer} of {len(distances)} recordings whose "
        "two texts differ.",
    ]
    title = f"Table VII: speech and text representations, published and on {corpus}"
    return Table(
        f"VII-{corpus}", title, ["example", "ASR", "GT"], rows, notes, ours + [True] * (len(rows) - len(ours))
    )
