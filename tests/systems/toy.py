"""A system as a newcomer would write it: one file. The test copies it into systems/ of a copy of the package."""

from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.configuration_m4ser import EmotionConfig
from m4ser.model.fusion_m4ser import masked_mean


class ToyConfig(EmotionConfig):
    model_type = "toy"


class ToyModel(EmotionModel):
    """Adds the modalities' means; a loss of its own draws them together."""

    config_class = ToyConfig
    title = "Toy system"

    def __init__(self, config):
        super().__init__(config)
        self.bridge = nn.Linear(config.hidden_size, config.hidden_size)
        self.add_head(config.hidden_size)

    def forward(self, input_values=None, attention_mask=None, input_ids=None, text_attention_mask=None, labels=None):
        speech = masked_mean(*self.encode_speech(input_values, attention_mask))
        text = self.bridge(masked_mean(*self.encode_text(input_ids, text_attention_mask)))
        logits, loss = self.predict_emotions(speech + text, labels)
        own = None if labels is None else {"attraction": (speech - text).square().mean(-1)}
        return EmotionOutput(loss=loss, logits=logits, embeddings=speech + text, auxiliary_losses=own)
