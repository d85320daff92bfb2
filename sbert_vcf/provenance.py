"""The lines that say how an output was made: program, models, reference and command."""

import hashlib
import re
import shlex
import sys
from collections.abc import Iterable

from sbert_vcf import __version__, fields
from sbert_vcf.annotator import Annotator

RUN = "##sbert_vcf=<"
COMMAND = "##sbert_vcf_command="

_FACT = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def provenance(annotator: Annotator) -> list[str]:
    """Return a line of the facts about a run, which begins with `RUN`, and one of its command, with `COMMAND`."""
    text = ",".join(f'{key}="{_quoted(value)}"' for key, value in run_facts(annotator).items())
    command = shlex.join(sys.argv)
    return [f"{RUN}ID=run,{text}>", f"{COMMAND}{command}"]


def run_facts(annotator: Annotator) -> dict[str, str]:
    """Return what an output depends on, by name; what a run does without is left out."""
    model, strands, genes, reference = annotator.model, annotator.strands, annotator.genes, annotator.reference
    facts = {"Version": __version__, "Model": model.name, "ModelSHA256": model.sha256}
    if fields.BP_ID in annotator.optional_fields and annotator.branchpoints is not None:
        used = annotator.branchpoints
        facts["BranchpointModel"] = used.model.name
        facts["BranchpointModelSHA256"] = used.model.sha256
        facts["BranchpointDistance"] = str(used.distance)
    facts["Window"] = str(annotator.window)
    facts["Precision"] = annotator.predictor.precision.value
    facts["Device"] = annotator.devices
    facts["Strand"] = strands.description
    facts["StrandMode"] = strands.mode
    if strands.field_id is not None:
        facts["ConsequenceField"] = strands.field_id
    if genes is not None:
        facts["Genes"] = genes.path.name
        facts["GenesSHA256"] = genes.digest()
    facts["Reference"] = reference.path.name
    facts["ReferenceIndexSHA256"] = reference.index_digest()
    if reference.aliases:
        pairs = "".join(f"{left}\t{right}\n" for left, right in sorted(map(sorted, reference.aliases)))
        facts["AliasesSHA256"] = hashlib.sha256(pairs.encode()).hexdigest()
    return facts


def read_facts(lines: Iterable[str]) -> list[dict[str, str]]:
    """Return the facts of every run that header lines tell of, each once, in their order."""
    runs = [
        {key: re.sub(r"\\(.)", r"\1", value) for key, value in _FACT.findall(line)}
        for line in lines
        if line.startswith(RUN)
    ]
    return [facts for number, facts in enumerate(runs) if facts not in runs[:number]]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
