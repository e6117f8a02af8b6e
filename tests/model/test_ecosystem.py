"""The Hugging Face tools that people bring along: Trainer, peft, Accelerate's placement, torch.export."""

import json
import math
import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from accelerate import infer_auto_device_map, init_empty_weights
from transformers import AutoModelForAudioClassification, Trainer, TrainingArguments

from m4ser import M4SERModel
from tests.loopback_hub import LoopbackHub
from tests.tiny import collate, plain_inputs, recordings, tiny_config, tiny_model
from tests.tiny_corpus import LABELS, tiny_processor


def tiny_batch(samples=(3000, 1500), tokens=(7, 5)):
    return plain_inputs(collate(recordings(samples, tokens)))


class TestTrainer:
    @pytest.fixture
    def trainer(self, tmp_path):
        processor = tiny_processor()
        rng = np.random.default_rng(0)
        rows = [
            {"audio": 0.1 * rng.standard_normal(samples), "text": text, "labels": index % len(LABELS)}
            for index, (samples, text) in enumerate([(4000, "the night"), (2500, "bad"), (3000, ""), (900, "great")])
        ]

        def prepare(batch):
            inputs = processor([row["audio"] for row in batch], [row["text"] for row in batch], sampling_rate=16_000)
            return {**inputs, "labels": torch.tensor([row["labels"] for row in batch])}

        text = {**tiny_config().text_config.to_dict(), "vocab_size": len(processor.tokenizer)}
        return Trainer(
            model=tiny_model(text_config=text, classifier_dropout=0.0, hidden_dropout=0.0),
            args=TrainingArguments(
                output_dir=str(tmp_path),
                max_steps=12,
                learning_rate=3e-3,
                per_device_train_batch_size=4,
                per_device_eval_batch_size=3,
                remove_unused_columns=False,
                report_to="none",
                save_strategy="no",
                use_cpu=True,
            ),
            train_dataset=rows,
            eval_dataset=rows,
            data_collator=prepare,
            processing_class=processor,
            compute_metrics=lambda results: {"shape": list(results.predictions.shape)},
        )

    def test_trains_and_evaluates(self, trainer):
        before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
        first = trainer.evaluate()
        assert trainer.train().global_step == 12
        last = trainer.evaluate()
        assert math.isfinite(first["eval_loss"]) and last["eval_loss"] < 0.8 * first["eval_loss"]
        assert last["eval_shape"] == [4, len(LABELS)]  # the logits alone are gathered, over batches of two lengths
        changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
        unchanged = {name.split(".")[0] for name in before.keys() - changed}
        assert unchanged == {"error_detector", "error_corrector"}  # which the emotion loss alone does not train

    def test_saves_what_loads(self, trainer, tmp_path):
        trainer.save_model(tmp_path / "saved")
        loaded = AutoModelForAudioClassification.from_pretrained(tmp_path / "saved")
        assert isinstance(loaded, M4SERModel)
        batch = tiny_batch()
        assert torch.equal(loaded(**batch).logits, trainer.model.eval()(**batch).logits)


ADAPTER = """
import json, sys
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from m4ser import M4SERModel
from tests.model.test_ecosystem import tiny_batch

torch.manual_seed(0)
base = M4SERModel.from_pretrained(sys.argv[1])
batch = tiny_batch()
"""
PUSH_ADAPTER = """
model = get_peft_model(base, LoraConfig(
    target_modules=r"(speech|text)_encoder\\..*\\.(q_proj|v_proj|query|value)", modules_to_save=["classifier"]
))
trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], 1e-2)
for _ in range(3):
    model(**batch, labels=torch.tensor([1, 2])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.push_to_hub("org/adapter")
print(json.dumps([sorted(trained), model.eval()(**batch).logits.tolist()]))
"""
LOAD_ADAPTER = """
untouched = base.eval()(**batch).logits.tolist()
model = PeftModel.from_pretrained(base, "org/adapter").eval()
print(json.dumps([untouched, model(**batch).logits.tolist(), model.merge_and_unload()(**batch).logits.tolist()]))
"""


def test_lora_adapter_survives_the_hub(tiny_folder, tmp_path):
    def run(code):
        result = subprocess.run(
            [sys.executable, "-c", ADAPTER + code, str(tiny_folder)],
            env=os.environ | hub.environment(tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    with LoopbackHub() as hub:
        trained, expected = run(PUSH_ADAPTER)
        assert "adapter_model.safetensors" in hub.files("org/adapter")
        untouched, loaded, merged = run(LOAD_ADAPTER)
    adapted = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in trained if "lora_" in name}
    assert {name.split(".")[0] for name in adapted} == {"speech_encoder", "text_encoder"}
    assert len(adapted) == 2 * (2 + 2)  # query and value of each encoder's two layers
    assert loaded == expected
    np.testing.assert_allclose(merged, expected, rtol=0, atol=1e-5)
    assert np.abs(np.array(untouched) - expected).max() > 1e-3


class TestPlacement:
    PARTS = ("speech_encoder", "text_encoder", "fusion", "error_corrector")

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("placed")
        tiny_model().save_pretrained(folder)
        return folder

    @torch.no_grad()
    def test_auto_loads_the_same(self, folder):
        batch = tiny_batch()
        expected = M4SERModel.from_pretrained(folder)(**batch).logits
        loaded = M4SERModel.from_pretrained(folder, device_map="auto")
        assert torch.equal(loaded(**batch).logits.cpu(), expected)

    @torch.no_grad()
    @pytest.mark.parametrize("offloaded", ["fusion", "speech_encoder"])
    def test_part_on_disk_gives_the_same(self, folder, offloaded, tmp_path):
        batch = tiny_batch()
        expected = M4SERModel.from_pretrained(folder)(**batch).logits
        device_map = OrderedDict((name, "cpu") for name, _ in M4SERModel(tiny_config()).named_children())
        loaded = M4SERModel.from_pretrained(
            folder, device_map={**device_map, offloaded: "disk"}, offload_folder=tmp_path
        )
        assert next(loaded.get_submodule(offloaded).parameters()).is_meta
        assert torch.equal(loaded(**batch).logits, expected)

    def test_parts_are_not_split(self):
        with init_empty_weights():
            model = M4SERModel(tiny_config())
        sizes = [sum(weight.nbytes for weight in model.get_submodule(part).parameters()) for part in self.PARTS]
        placed = infer_auto_device_map(
            model,
            max_memory={0: max(sizes) + 1000, 1: max(sizes) + 1000, "cpu": sum(sizes)},
            no_split_module_classes=list(model._no_split_modules),
        )
        assert len(set(placed.values())) > 1
        assert set(self.PARTS) <= placed.keys()


@torch.no_grad()
def test_torch_export_with_free_shapes():
    model, batch = tiny_model(), tiny_batch()
    shapes = {name: {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO} for name in batch}
    exported = torch.export.export(model, (), kwargs=batch, dynamic_shapes=shapes).module()
    for batch in (tiny_batch(), tiny_batch([6000, 2500, 900], [9, 5, 3])):
        torch.testing.assert_close(exported(**batch).logits, model(**batch).logits, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("modalities", [["speech", "text"], ["speech"], ["text"]], ids="+".join)
def test_torch_export(modalities):
    model, batch = tiny_model(modalities=modalities), tiny_batch()
    exported = torch.export.export(model, (), kwargs=batch).module()
    torch.testing.assert_close(exported(**batch).logits, model(**batch).logits, rtol=0, atol=1e-5)
