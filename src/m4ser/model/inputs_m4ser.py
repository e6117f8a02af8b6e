"""Inputs and options of a pipeline: texts and rates joined to recordings, checks, and errors as one sentence."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np


def check_options(given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an option that there is not.

    Raises:
        TypeError: naming it, and the nearest that there is.
    """
    for name in given:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it takes {', '.join(known)}."
            raise TypeError(f"The pipeline has no option {name}; {hint}")


def is_list_of_numbers(inputs: Any) -> bool:
    """Tell whether a list is one recording's samples, not many recordings."""
    return isinstance(inputs, list) and bool(inputs) and all(isinstance(item, (int, float)) for item in inputs)


def valid_unicode(text: str) -> str:
    r"""Return a text with its lone surrogates escaped, as \ud800: no tokenizer takes them, and no file in UTF-8.

    They come from JSON that was cut, and from file names that are not in UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, its type where there is none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def with_options(inputs: Any, sampling_rate: float | None, text: str | Sequence[str] | None) -> Any:
    """Return the input, or each of a list, as a dict with the rate and the text beside it.

    Args:
        text: of one recording a string, of a list as many.

    Raises:
        TypeError: a rate beside a file or a dict, a second text, or texts that are not one for each recording.
    """
    if isinstance(inputs, list):
        texts = [None] * len(inputs) if text is None else text
        if isinstance(texts, str) or len(texts) != len(inputs):
            raise TypeError(f"text is of one recording; give {len(inputs)} of them for as many recordings.")
        return [with_options(item, sampling_rate, own) for item, own in zip(inputs, texts, strict=True)]
    if not (text is None or isinstance(text, str)):
        raise TypeError("text is a string for one recording.")
    if sampling_rate is not None:
        if not hasattr(inputs, "ndim"):
            raise TypeError("sampling_rate is of samples; a file brings its own, a dict holds it.")
        inputs = {"array": np.asarray(inputs), "sampling_rate": sampling_rate}
    if text is None:
        return inputs
    if not isinstance(inputs, Mapping):
        return {"audio": inputs, "text": text}
    if inputs.keys() & {"text", "hypothesis"}:
        raise TypeError("The recording has a text of its own; leave text out.")
    return {**inputs, "text": text}


def check_model(model: Any, tokenizer: Any) -> None:
    """Refuse a model whose tokenizer or calibration is another's.

    Raises:
        ValueError: it is.
    """
    _check_calibration(model)
    _check_vocabulary(model, tokenizer)


def _check_vocabulary(model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with ids that the text encoder has no embedding of."""
    if "text" in model.config.modalities:
        ids = [*tokenizer.get_vocab().values(), *tokenizer("").input_ids]  # a template's own ids are in no vocabulary
        if max(ids, default=0) >= model.config.text_config.vocab_size:
            raise ValueError(
                f"The tokenizer of {model.name_or_path} is another model's: it has the id {max(ids)}, and the text "
                f"encoder a vocabulary of {model.config.text_config.vocab_size}."
            )


def _check_calibration(model: Any) -> None:
    """Refuse a temperature that was fitted to other weights; weights in another precision tell nothing."""
    fitted = model.config.calibrated_weights
    if fitted is None or not hasattr(model, "fingerprint") or any(part.is_meta for part in model.parameters()):
        return  # a graph, or weights that are offloaded
    own = model.fingerprint()
    if own.partition("-")[0] == fitted.partition("-")[0] and own != fitted:
        raise ValueError(
            f"The calibration temperature of {model.name_or_path} was fitted to other weights: run `m4ser calibrate` "
            "again, or take calibration_temperature and calibrated_weights out of config.json."
        )
