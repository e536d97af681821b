"""Splice sites from DNA, read base by base on both strands by a recurrent network.

Example:
    >>> import torch
    >>> import sciml_zoo as sz
    >>> from sciml_zoo.splicing import encode
    >>> model = sz.create_model("splice_rnn", channels=8, states=8, blocks=1).eval()
    >>> codes = torch.from_numpy(encode("ACGTACCAGGTAAGTTTCTGCAGGT"))
    >>> with torch.no_grad():
    ...     probabilities = model.calibrated(model(codes[None]))
    >>> probabilities.shape  # batch, bases, strand (+, −), kind (donor, acceptor)
    torch.Size([1, 25, 2, 2])
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.splicing.annotation import check_annotation, read_annotation
    from sciml_zoo.splicing.attribution import attribution
    from sciml_zoo.splicing.genbank import read_genbank
    from sciml_zoo.splicing.inference import evaluate, predict
    from sciml_zoo.splicing.lstm import SpliceLSTM, SpliceLSTMConfig
    from sciml_zoo.splicing.methylation import read_methylation
    from sciml_zoo.splicing.model import SpliceModel, SpliceRNN, SpliceRNNConfig
    from sciml_zoo.splicing.portraits import portrait
    from sciml_zoo.splicing.recipe import labelled_genome, prepare, recipe_type
    from sciml_zoo.splicing.scan import scan_to_file
    from sciml_zoo.splicing.sequences import decode, encode, read_fasta, reverse_complement
    from sciml_zoo.splicing.showcase import demo
    from sciml_zoo.splicing.variants import score_variants

__all__ = [
    "SpliceLSTM",
    "SpliceLSTMConfig",
    "SpliceModel",
    "SpliceRNN",
    "SpliceRNNConfig",
    "attribution",
    "check_annotation",
    "decode",
    "demo",
    "encode",
    "evaluate",
    "labelled_genome",
    "portrait",
    "predict",
    "prepare",
    "read_annotation",
    "read_fasta",
    "read_genbank",
    "read_methylation",
    "recipe_type",
    "reverse_complement",
    "scan_to_file",
    "score_variants",
]

_MODULES = {
    "annotation": (
        "check_annotation",
        "read_annotation",
    ),
    "attribution": ("attribution",),
    "genbank": ("read_genbank",),
    "inference": (
        "evaluate",
        "predict",
    ),
    "methylation": ("read_methylation",),
    "model": (
        "SpliceLSTM",
        "SpliceLSTMConfig",
        "SpliceModel",
        "SpliceRNN",
        "SpliceRNNConfig",
    ),
    "portraits": ("portrait",),
    "recipe": (
        "labelled_genome",
        "prepare",
        "recipe_type",
    ),
    "scan": ("scan_to_file",),
    "sequences": (
        "decode",
        "encode",
        "read_fasta",
        "reverse_complement",
    ),
    "showcase": ("demo",),
    "variants": ("score_variants",),
}
_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
