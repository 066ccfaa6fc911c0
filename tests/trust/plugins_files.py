"""The files that the first plugins read: other libraries read them, and must be asked to run nothing."""

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from trust.row import Fault, expect


def _readers() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What reads a file, or the folder that has it, by the name of the file."""
    from diffkit_clip import export
    from diffkit_clip.pretrained import Pretrained

    for name in ("a.parquet", "a.csv", "a.jsonl", "a.arrow"):
        yield name, _rows
    for name in ("a.tar", "a.pkl", "a.png", "a.npz", "a.parquet", "a.py", "state.json", "dataset_dict.json"):
        yield name, lambda file: _rows(file.parent)
    yield "config.json", lambda file: Pretrained.find(str(file.parent)).config()
    yield "tokenizer.json", lambda file: Pretrained.find(str(file.parent)).tokenizer()
    yield "model.safetensors", lambda file: Pretrained.find(str(file.parent)).digest()
    yield "model.safetensors", lambda file: _network(file.parent)
    yield "pytorch_model.bin", lambda file: Pretrained.find(str(file.parent))
    yield "config.json", lambda file: export.load(file.parent)


def _rows(path: Path) -> None:
    from diffkit import create

    data: Any = create("data", "huggingface", seed=0, path=str(path), resolution=8)
    data.setup("fit")
    data.reference("train")


def _network(folder: Path) -> None:
    from transformers import BertModel

    from diffkit_clip.pretrained import Pretrained

    Pretrained.find(str(folder)).network(BertModel)


def refused(folder: Path, content: bytes, mark: Path) -> None:
    """Raise `Fault` for a reader that runs what is in a file, takes it, or ends with an error of its own."""
    from diffkit.core.errors import DiffkitError

    for number, (name, read) in enumerate(_readers()):
        file = folder / f"plugins/{number}" / name
        file.parent.mkdir(parents=True)
        if name in ("config.json", "tokenizer.json", "model.safetensors"):
            for other in ("tokenizer.json", "model.safetensors"):
                (file.parent / other).write_text("{}")
            (file.parent / "config.json").write_text('{"model_type": "bert", "hidden_size": 12}')
        file.write_bytes(content)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                read(file)
        except DiffkitError:
            pass
        except Exception as error:
            raise Fault(f"{name}: {type(error).__name__}: {error}") from error
        else:
            raise Fault(f"{name} was taken")
        expect(not mark.exists(), f"{name}: it ran")
