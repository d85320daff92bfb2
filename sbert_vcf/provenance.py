"""The lines that say how an output was made: program, models, reference and command."""

import shlex
import sys

from sbert_vcf import __version__, fields
from sbert_vcf.annotator import Annotator

RUN = "##sbert_vcf=<"
COMMAND = "##sbert_vcf_command="


def provenance(annotator: Annotator) -> list[str]:
    """Return a line of the facts about a run, which begins with `RUN`, and one of its command, with `COMMAND`."""
    model, branchpoint = annotator.model, {}
    if fields.BP_ID in annotator.optional_fields and annotator.branchpoints is not None:
        used = annotator.branchpoints.model
        branchpoint = {"BranchpointModel": used.name, "BranchpointModelSHA256": used.sha256}
    facts = {
        "Version": __version__,
        "Model": model.name,
        "ModelSHA256": model.sha256,
        **branchpoint,
        "Window": annotator.window,
        "Precision": str(annotator.predictor.dtype).removeprefix("torch."),
        "Device": annotator.devices,
        "Strand": annotator.strands.description,
        "Reference": annotator.reference.path.name,
        "ReferenceIndexSHA256": annotator.reference.index_digest(),
    }
    text = ",".join(f'{key}="{_quoted(str(value))}"' for key, value in facts.items())
    command = shlex.join(sys.argv).replace("\n", " ")
    return [f"{RUN}ID=run,{text}>", f"{COMMAND}{command}"]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
