"""A process in which m4ser cannot be imported, as that of whoever finds a model on the Hub."""

import json
import os
import subprocess
import sys

import torch
from transformers import AutoModel, AutoProcessor

PREAMBLE = "import json, sys\nsys.modules['m4ser'] = None  # whatever imports it from here on fails\n"
ASK = """
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
answer = classify({"path": recording, "text": text}, return_transcript=True)
model.save_pretrained(copy)
processor.save_pretrained(copy)
print(json.dumps({"logits": logits, "answer": answer, "module": type(model).__module__}))
"""


def run_outside(code, *arguments, **environment):
    """What `code` prints last, as JSON."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", PREAMBLE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def ask(source, recording, text, copy, revision="main", **environment):
    """The logits of both auto classes and the pipeline's answer there; saves what was loaded into `copy`."""
    return run_outside(ASK, source, recording, text, copy, revision, **environment)


def logits_here(folder, recording, text):
    """The same in this process, by m4ser's own classes."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        return model(**processor(recording, text)).logits.tolist()
