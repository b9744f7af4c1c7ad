"""What identifies the weights of a folder: the same on every machine, and cheap where they are large."""

import hashlib
from pathlib import Path

from cola_search.wheels import sha256_of

LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")
WHOLE_BYTES = 2**26  # a file up to this size is read whole
BLOCK_BYTES, BLOCKS = 2**16, 256  # of a larger one so many blocks, evenly spaced: other training changes all of them


def weights_digest(weights: Path) -> str:
    """Digest of a GGUF file, or of the files of a folder that loading reads: their names, sizes and contents."""
    if weights.is_file():
        return sha256_of(weights)
    digest = hashlib.sha256()
    for entry in sorted(weights.iterdir()):
        if entry.is_file() and entry.suffix in LOADED:
            size = entry.stat().st_size
            content = sha256_of(entry) if size <= WHOLE_BYTES else _sampled(entry, size)
            digest.update(f"{entry.name}:{size}:{content}:".encode())
    return digest.hexdigest()


def _sampled(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in range(BLOCKS):
            file.seek((size - BLOCK_BYTES) * block // (BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()
