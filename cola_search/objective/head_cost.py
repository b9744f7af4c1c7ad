"""What it costs to read the head for one more chain, in layer executions: early exits are not free."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from cola_search.model.loading import LoadedModel
from cola_search.model.packing import pack
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
    pairs = list(zip(encoded.contexts, encoded.continuations, strict=True))
    packed = pack([(context + continuation)[: -1 if continuation else None] for context, continuation in pairs])
    read = {row for (context, _), rows in zip(pairs, packed.rows, strict=True) for row in rows[len(context) - 1 :]}
    return len(read) / len(packed.ids)


def head_layers(model: LoadedModel) -> float:
    """Parameters of the head by those of a layer, of which the mean is taken."""
    _, layers = find_layers(model.hf)
    return _parameters(model.hf.get_output_embeddings()) / (_parameters(layers) / len(layers))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
