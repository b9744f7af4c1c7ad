"""When the search of a sample ends, whatever the algorithm."""

from cola_search.outcome import Ledger
from cola_search.search_settings import SearchSettings


def finished(ledger: Ledger, settings: SearchSettings, floor: int) -> bool:
    """True iff the search has reached its goal or spent its budget; floor: a length below which no chain is legal."""
    return goal_reached(ledger, settings, floor) or out_of_budget(ledger, settings)


def out_of_budget(ledger: Ledger, settings: SearchSettings) -> bool:
    """True iff the simulations or the layer executions are spent."""
    limit = settings.max_layer_executions
    return ledger.simulations >= settings.simulations or (limit is not None and ledger.layer_executions >= limit)


def goal_reached(ledger: Ledger, settings: SearchSettings, floor: int) -> bool:
    """True iff a right chain is as short as asked for, or solves the sample: none shorter than `floor` is legal."""
    shortest = ledger.shortest_right
    return shortest is not None and shortest <= max(floor, target_length(ledger, settings))


def target_length(ledger: Ledger, settings: SearchSettings) -> float:
    """The length at which a right chain ends the search by its stop rules; 0 if none does.

    stop=improved is the early stop of Dr.LLM (arxiv.org/abs/2510.12773, section 4): a wrong base is fixed at any
    length, a right one must become shorter by improved_by layers.
    """
    base, target = ledger.base, float(settings.target_length or 0)
    if settings.stop == "first_fix" or (settings.stop == "improved" and base is not None and not base.right):
        return float("inf")
    if settings.stop == "improved":
        return max(target, ledger.num_layers - settings.improved_by)
    return target
