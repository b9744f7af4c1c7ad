"""What it costs to read the head for one more chain, in layer executions: early exits are not free."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from cola_search.model.loading import LoadedModel
from cola_search.model.packing import pack, scored_sequences
from cola_search.model.stock import Encoded, Stock
from cola_search.model.surgery import find_layers
from cola_search.tasks.sample import Sample


def head_cost(stock: Stock, samples: Sequence[Sample]) -> float:
    """Mean over the samples of rows read * parameters of the head / (rows of the item * parameters of a layer).

    Rows are distinct token prefixes, and read are those after which options are scored. Of a generated task that is the
    prompt's end alone, as its menus' costs are those of the prompt alone. Parameters stand for arithmetic.
    """
    return float(np.mean([share_read(stock.encode(sample)) for sample in samples])) * head_layers(stock.model)


def share_read(encoded: Encoded) -> float:
    """The rows of an item that the head reads, as a share of all its rows."""
    sequences, reads = scored_sequences(encoded.contexts, encoded.continuations)
    packed = pack(sequences)
    read = {rows[p] for rows, positions in zip(packed.rows, reads, strict=True) for p in positions}
    return len(read) / len(packed.ids)


def head_layers(model: LoadedModel) -> float:
    """Parameters of the head by those of a layer, of which the mean is taken."""
    _, layers = find_layers(model.hf)
    return _parameters(model.hf.get_output_embeddings()) / (_parameters(layers) / len(layers))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
