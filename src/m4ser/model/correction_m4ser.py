"""The two auxiliary tasks on the text: ASR error detection (Sec. III-C) and correction (Sec. III-D)."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .attention_m4ser import FeedForward, MultiHeadAttention
from .configuration_m4ser import M4SERConfig

KEEP, DELETE, CHANGE = 0, 1, 2


class CorrectionDecoder(nn.Module):
    """AEC (eq. 4 to 6): one transformer decoder layer that writes all replacements of a batch in parallel.

    Each CHANGE position is a sequence of its own (K of them in a batch). A step's input is the token before it, its
    position, and the state of the token to be replaced; its memory is the whole hypothesis that the token stands in.
    """

    def __init__(self, config: M4SERConfig, embedding_size: int | None = None):
        """Build the layer; `embedding_size` is that of the word embeddings, `text_config`'s hidden size by default."""
        super().__init__()
        embedding_size = embedding_size or config.text_config.hidden_size
        self.bos_token_id = config.correction_bos_token_id
        self.eos_token_id = config.correction_eos_token_id
        self.max_length = config.max_correction_length
        self.position_embeddings = nn.Embedding(config.max_correction_length, embedding_size)
        self.input_projection = nn.Linear(embedding_size + config.hidden_size, config.hidden_size)
        self.self_attention = MultiHeadAttention(config)
        self.self_attention_norm = nn.LayerNorm(config.hidden_size)
        self.memory_attention = MultiHeadAttention(config)
        self.memory_attention_norm = nn.LayerNorm(config.hidden_size)
        self.feed_forward = FeedForward(config.hidden_size, config.correction_intermediate_size)
        self.output_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.text_config.vocab_size)

    def forward(
        self,
        token_ids: torch.Tensor,
        error_states: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        word_embeddings: nn.Module,
    ) -> torch.Tensor:
        """Return the logits of each next token.

        Args:
            token_ids: (K, c), what stands before each step, the first being BOS.
            error_states: (K, d), h_T of the token to be replaced.
            memory: (K, n, d), H_T of its hypothesis. memory_mask: (K, n), bool.
            word_embeddings: the text encoder's own, TE of eq. 1 and 4.

        Returns:
            (K, c, vocabulary).
        """
        return self.lm_head(self._states(token_ids, error_states, memory, memory_mask, word_embeddings))  # eq. 6

    def _states(
        self,
        token_ids: torch.Tensor,
        error_states: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        word_embeddings: nn.Module,
    ) -> torch.Tensor:
        length = token_ids.shape[1]
        positions = torch.arange(length, device=token_ids.device)
        tokens = word_embeddings(token_ids).to(token_ids.device) + self.position_embeddings(positions)
        errors = error_states[:, None].expand(-1, length, -1)
        states = self.input_projection(torch.cat([tokens, errors], dim=-1))  # eq. 4
        attended, _ = self.self_attention(states, states, is_causal=True)
        states = self.self_attention_norm(states + self.dropout(attended))
        attended, _ = self.memory_attention(states, memory, memory_mask)
        states = self.memory_attention_norm(states + self.dropout(attended))
        return self.output_norm(states + self.dropout(self.feed_forward(states)))  # eq. 5

    def shift_right(self, correction_ids: torch.Tensor) -> torch.Tensor:
        """Return the decoder's inputs (K, c) of targets (K, c) with -100 after their end."""
        start = correction_ids.new_full((len(correction_ids), 1), self.bos_token_id)
        shifted = torch.cat([start, correction_ids[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == -100, self.eos_token_id)

    @torch.no_grad()
    def generate(
        self,
        error_states: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        word_embeddings: nn.Module,
    ) -> tuple[list[list[int]], torch.Tensor]:
        """Decode all K replacements at once, greedily.

        Returns:
            K lists of token ids, without BOS and EOS, and how sure the decoder is of each: (K,), the geometric mean of
            its tokens' probabilities, EOS included.
        """
        token_ids = torch.full((len(error_states), 1), self.bos_token_id, device=error_states.device)
        finished = torch.zeros(len(error_states), dtype=torch.bool, device=error_states.device)
        total = torch.zeros(len(error_states), device=error_states.device)
        lengths = torch.zeros_like(total)
        for _ in range(self.max_length):
            if finished.all():
                break
            states = self._states(token_ids, error_states, memory, memory_mask, word_embeddings)[:, -1]
            log_probabilities, next_ids = self.lm_head(states).float().log_softmax(-1).max(-1)
            total += log_probabilities.masked_fill(finished, 0.0)
            lengths += ~finished
            next_ids = next_ids.masked_fill(finished, self.eos_token_id)
            finished |= next_ids == self.eos_token_id
            token_ids = torch.cat([token_ids, next_ids[:, None]], dim=1)
        replacements = [_until(row, self.eos_token_id) for row in token_ids[:, 1:].tolist()]
        return replacements, (total / lengths).exp()


def _until(token_ids: list[int], stop: int) -> list[int]:
    return token_ids[: token_ids.index(stop)] if stop in token_ids else token_ids


def decode_tags(aed_logits: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """Return KEEP, DELETE or CHANGE for each token, (B, n), of logits (B, n, 3).

    Args:
        threshold: a token is edited only where the probability of its best edit, DELETE or CHANGE, reaches this; None
            takes the most probable tag. Detection over-fires: an edit of a word that was right adds an error, while
            that of a wrong one often leaves it wrong.
    """
    if threshold is None:
        return aed_logits.argmax(-1)
    probabilities, edits = aed_logits.softmax(-1)[..., DELETE:].max(-1)
    return torch.where(probabilities >= threshold, edits + DELETE, KEEP)


def rewriting_tags(input_ids: torch.Tensor) -> torch.Tensor:
    """Return the tags (B, n) of correction without detection: [CLS] changes into the whole text, the rest goes."""
    tags = torch.full_like(input_ids, DELETE)
    tags[:, 0] = CHANGE
    return tags


def apply_corrections(
    token_ids: Sequence[int], tags: Sequence[int], corrections: Mapping[int, Sequence[int]]
) -> list[int]:
    """Return the corrected tokens of one hypothesis.

    Args:
        token_ids: the n tokens of the input, [CLS] first and [SEP] last.
        tags: n entries of KEEP, DELETE, CHANGE; that of [CLS] concerns what is missing before the first word.
        corrections: index of a CHANGE to its replacement.

    Returns:
        A list of token ids, without [CLS] and [SEP].
    """
    corrected: list[int] = []
    for index, tag in enumerate(tags[:-1]):
        if tag == CHANGE:
            corrected.extend(corrections[index])
        elif tag == KEEP and index > 0:
            corrected.append(token_ids[index])
    return corrected
