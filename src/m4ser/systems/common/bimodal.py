"""The config of systems that need both modalities."""

from typing import Any

from m4ser.model.configuration_m4ser import EmotionConfig


class BimodalConfig(EmotionConfig):
    """[`EmotionConfig`] of both modalities.

    Raises:
        ValueError: a modality is left out.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not self.is_multimodal:
            raise ValueError(
                f"The system {self.model_type} needs speech and text: it cannot be built from {self.modalities[0]} "
                "alone."
            )
