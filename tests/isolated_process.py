"""A process in which m4ser cannot be imported, as where someone found a model on the Hub."""

import json
import os
import subprocess
import sys

import torch
from transformers import AutoModel, AutoProcessor

PREAMBLE = "import json, sys\nsys.modules['m4ser'] = None  # every import of it fails from here on\n"
PREDICT = """
import torch
from transformers import AutoModel, AutoModelForAudioClassification, AutoProcessor, pipeline

source, recording, text, copy, revision = sys.argv[1:]
remote = {"trust_remote_code": True, "revision": revision}
processor = AutoProcessor.from_pretrained(source, **remote)
logits = []
for auto_class in (AutoModel, AutoModelForAudioClassification):
    model = auto_class.from_pretrained(source, **remote).eval()
    with torch.no_grad():
        logits.append(model(**processor(recording, text)).logits.tolist())
classify = pipeline("audio-classification", model=source, **remote)
prediction = classify({"path": recording, "text": text}, return_transcript=True)
model.save_pretrained(copy)
processor.save_pretrained(copy)
print(json.dumps({"logits": logits, "prediction": prediction, "module": type(model).__module__}))
"""


def run_isolated(code, *arguments, **environment):
    """Run `code` in the process; return its last line, which is JSON."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", PREAMBLE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def predict_isolated(source, recording, text, copy, revision="main", **environment):
    """Return both auto classes' logits and the pipeline's prediction there; save model and processor in `copy`."""
    return run_isolated(PREDICT, source, recording, text, copy, revision, **environment)


def logits_here(folder, recording, text):
    """Return the logits in this process, by m4ser's own classes."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        return model(**processor(recording, text)).logits.tolist()
