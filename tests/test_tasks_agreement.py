"""Our items against stock lm-eval on the same model: the same requests, the same verdicts.

The reference is lm-eval's own task objects, made here from its YAML files, run by lm-eval's own `evaluate`.
"""

from typing import Any

import datasets
import lm_eval
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

from cola_search.tasks import offline
from cola_search.tasks.build import quiet
from cola_search.tasks.definitions import PROTOCOLS, lm_eval_folder
from cola_search.tasks.load import load_task

STOCK = {  # task -> its file in lm-eval
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "commonsense_qa": "commonsense_qa/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "social_iqa": "siqa/siqa.yaml",
    "mmlu_anatomy": "mmlu/default/mmlu_anatomy.yaml",
    "medmcqa": "medmcqa/medmcqa.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
    "hendrycks_math_algebra": "hendrycks_math/hendrycks_math_algebra.yaml",
    "sciq": "sciq/sciq.yaml",
    "arithmetic_short": str(PROTOCOLS / "arithmetic_short.yaml"),
}


def stock_samples(name: str, lm: HFLM, limit: int, fewshot: int = 0, **chat: Any) -> list[dict[str, Any]]:
    """What lm-eval logs of its first items."""
    config = {**load_yaml(lm_eval_folder() / STOCK[name]), "num_fewshot": fewshot}
    config.pop("tag", None)
    if not fewshot:
        config |= {"training_split": None, "fewshot_split": None, "fewshot_config": None}
    if "custom_dataset" not in config:
        path, subset = config["dataset_path"], config.get("dataset_name")
        served = offline.serves(path, subset)
        assert served is not None
        config |= {key: None for key in ("validation_split", "test_split") if config.get(key) not in served.splits}
        wanted = {config[key] for key in ("training_split", "validation_split", "test_split") if config.get(key)}
        data = datasets.DatasetDict({split: offline.split_of(path, subset, split) for split in wanted})
        config["custom_dataset"] = lambda **_: data
    with quiet():
        task = ConfigurableTask(config=config)
        task.set_fewshot_seed(1234)
        results = lm_eval.evaluate(lm, {"tasks": {name: task}}, limit=limit, bootstrap_iters=0, **chat)
    return sorted(results["samples"][name], key=lambda logged: logged["doc_id"])


def assert_agreement(name: str, lm: HFLM, model: Any, limit: int, metrics: list[str], **settings: Any) -> list[bool]:
    """The verdicts, which are lm-eval's own on the same requests."""
    chat = {"apply_chat_template": settings.get("chat_template", False)}
    multiturn = {"fewshot_as_multiturn": settings.get("fewshot_as_multiturn", False)}
    logged = stock_samples(name, lm, limit, settings.get("fewshot", 0), **chat, **multiturn)
    ours: list[bool] = []
    answered: dict[str, list[Any]] = {}
    for metric in metrics:
        task = load_task(name, limit=limit, metric=metric, model=model, **{"fewshot": 0, **settings})
        metric_name, _, filter_name = metric.partition(",")
        reference = [entry for entry in logged if not filter_name or entry["filter"] == filter_name]
        for sample, entry in zip(task, reference, strict=True):
            asked = [request.args for request in sample.requests]
            assert (sorted(asked) if name == "sciq" else asked) == (
                sorted(entry["arguments"]) if name == "sciq" else entry["arguments"]
            )
            if sample.id not in answered:
                with quiet():
                    answered[sample.id] = getattr(lm, task.kind)(sample.requests, disable_tqdm=True)
            responses = answered[sample.id]
            ours.append(sample.verdict(responses))
            assert ours[-1] is bool(entry[metric_name]), f"{name} {sample.id}"
            if sample.option_scores(responses) is not None:
                assert (sample.prediction(responses) == sample.gold) is ours[-1]
    return ours


@pytest.fixture(scope="module")
def tiny_lm(tiny_model: Any) -> HFLM:
    return HFLM(pretrained=tiny_model.hf, tokenizer=tiny_model.tokenizer, batch_size=1)


@pytest.fixture(scope="module")
def smollm2_lm(smollm2: Any) -> HFLM:
    return HFLM(pretrained=smollm2.hf, tokenizer=smollm2.tokenizer, batch_size=1)


CHOICE_METRICS = {"arc_easy": ["acc", "acc_norm"], "hellaswag": ["acc", "acc_norm"]}
GENERATED = ("gsm8k", "hendrycks_math_algebra", "arithmetic_short")


@pytest.mark.parametrize("name", [name for name in STOCK if name not in GENERATED])
def test_scored_answers_agree_with_lm_eval(name: str, tiny_lm: HFLM, tiny_model: Any) -> None:
    assert_agreement(name, tiny_lm, tiny_model, 6, CHOICE_METRICS.get(name, ["acc"]))


@pytest.mark.parametrize(
    ("name", "metric"), [("gsm8k", "exact_match,strict-match"), ("hendrycks_math_algebra", "exact_match")]
)
def test_generated_answers_agree_with_lm_eval(name: str, metric: str, tiny_lm: HFLM, tiny_model: Any) -> None:
    assert_agreement(name, tiny_lm, tiny_model, 1, [metric])


@pytest.mark.parametrize("multiturn", [False, True])
def test_few_shot_chat_prompts_agree_with_lm_eval(multiturn: bool, tiny_lm: HFLM, tiny_model: Any) -> None:
    settings = {"fewshot": 2, "chat_template": True, "fewshot_as_multiturn": multiturn}
    assert_agreement("openbookqa", tiny_lm, tiny_model, 3, ["acc"], **settings)


def test_the_real_model_agrees_with_lm_eval_on_scored_answers(smollm2_lm: HFLM, smollm2: Any) -> None:
    verdicts = assert_agreement("arc_easy", smollm2_lm, smollm2, 6, ["acc", "acc_norm"])
    assert 0 < sum(verdicts) < 12


def test_the_real_model_agrees_with_lm_eval_on_generated_answers(smollm2_lm: HFLM, smollm2: Any) -> None:
    verdicts = assert_agreement("arithmetic_short", smollm2_lm, smollm2, 6, ["exact_match"], chat_template=True)
    assert 0 < sum(verdicts) < 6
