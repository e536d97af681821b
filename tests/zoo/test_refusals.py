"""What a checkpoint directory may not be: each case is refused by load_model with an error that says what to do."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.zoo.resolve import load_model
from sciml_zoo.zoo.tensors import pack, unpack
from sciml_zoo.zoo.verify import verify

from .toy import edit_json

Break = Callable[[Path], object]


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("exploded",)


def config(**changes: object) -> Break:
    return lambda directory: edit_json(directory / "config.json", **changes)


def model_config(**changes: object) -> Break:
    def change(directory: Path) -> None:
        inner = json.loads((directory / "config.json").read_text())["config"]
        inner = {k: v for k, v in {**inner, **changes}.items() if v is not ...}
        edit_json(directory / "config.json", config=inner)

    return change


def weights(change: Callable[[bytes], bytes]) -> Break:
    def rewrite(directory: Path) -> None:
        path = directory / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return rewrite


def tensors(**changes: object) -> Break:
    def change(content: bytes) -> bytes:
        found = {**unpack(content, "test"), **{name.replace("__", "."): value for name, value in changes.items()}}
        return pack({name: value for name, value in found.items() if value is not ...})

    return weights(change)


def header(**entry: object) -> Break:
    text = json.dumps({"x": entry}).encode()
    return weights(lambda _: len(text).to_bytes(8, "little") + text)


def remove(name: str) -> Break:
    return lambda directory: (directory / name).unlink()


def link_outside(name: str) -> Break:
    def link(directory: Path) -> None:
        outside = directory.parent / f"outside-{name}"
        shutil.move(directory / name, outside)
        (directory / name).symlink_to(outside)

    return link


def linked_through_a_directory(directory: Path) -> None:
    shutil.copytree(directory, directory.parent / "elsewhere")
    (directory / "inner").symlink_to(directory.parent / "elsewhere")
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").symlink_to("inner/model.safetensors")


def loop_of_links(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").symlink_to("model.safetensors")


def pipe(directory: Path) -> None:
    (directory / "config.json").unlink()
    os.mkfifo(directory / "config.json")


def torch_pickle() -> bytes:
    buffer = io.BytesIO()
    torch.save({"linear.weight": torch.ones(2, 5), "bomb": Bomb()}, buffer)
    return buffer.getvalue()


def pickled_beside(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "model.pt")
    (directory / "model.pt").write_bytes(torch_pickle())


CASES: dict[str, tuple[Break, str]] = {
    "no config": (remove("config.json"), r"lacks config\.json; a checkpoint has config\.json, model\.safetensors"),
    "no weights": (remove("model.safetensors"), r"lacks model\.safetensors"),
    "no golden predictions": (remove("golden.safetensors"), r"lacks golden\.safetensors"),
    "no directory": (shutil.rmtree, r"there is no such directory"),
    # safetensors
    "empty": (weights(lambda content: b""), r"truncated: 0 bytes"),
    "cut in the length": (weights(lambda content: content[:5]), r"truncated: 5 bytes"),
    "cut in the header": (weights(lambda content: content[:40]), r"truncated: the header is \d+ bytes long"),
    "cut in the data": (weights(lambda content: content[:-1]), r"truncated: \d+ bytes of \d+; copy or download"),
    "oversized": (weights(lambda content: content + b"abc"), r"oversized: 3 bytes follow the \d+"),
    "absurd header length": (weights(lambda content: b"\xff" * 8 + content), r"its header would be \d{20} bytes long"),
    "header is not JSON": (weights(lambda content: content[:8] + b"!" + content[9:]), r"header\): not valid JSON"),
    "header is a list": (weights(lambda content: b"\x02" + b"\0" * 7 + b"[]"), r"expected a JSON object, found a list"),
    "header without offsets": (header(dtype="F32", shape=[1]), r"'x' has no data_offsets"),
    "header with odd offsets": (header(dtype="F32", shape=[1], data_offsets=["0", 4]), r"'x' has no data_offsets"),
    "header with negative offsets": (header(dtype="F32", shape=[1], data_offsets=[-4, 0]), r"not a valid safetensors"),
    "header with unknown dtype": (header(dtype="F31", shape=[0], data_offsets=[0, 0]), r"not a valid safetensors"),
    "header with wrong shape": (header(dtype="F32", shape=[9**99], data_offsets=[0, 0]), r"not a valid safetensors"),
    # pickles
    "torch.save in place of weights": (weights(lambda _: torch_pickle()), r"is a pickle .* never unpickled"),
    "pickle in place of weights": (weights(lambda _: pickle.dumps(Bomb())), r"is a pickle .* never unpickled"),
    "short pickle in place of weights": (weights(lambda _: b"\x80\x04N."), r"is a pickle .* never unpickled"),
    "text pickle in place of weights": (weights(lambda _: pickle.dumps(Bomb(), 0)), r"not a safetensors file"),
    "pickle beside": (pickled_beside, r"lacks model\.safetensors; model\.pt is a pickle.*never unpickled"),
    # config.json
    "config is not JSON": (lambda d: (d / "config.json").write_text("{"), r"config\.json: not valid JSON"),
    "config is binary": (lambda d: (d / "config.json").write_bytes(torch_pickle()), r"config\.json: not valid JSON"),
    "another format": (config(format="timm"), r"not a sciml_zoo checkpoint"),
    "no format": (config(format=...), r"not a sciml_zoo checkpoint"),
    "no format version": (config(format_version=...), r"unknown format_version None; known: 1 to 2"),
    "format version zero": (config(format_version=0), r"unknown format_version 0; known: 1 to 2"),
    "format version in words": (config(format_version="2"), r"unknown format_version '2'"),
    "future format version": (
        config(format_version=3),
        r"newer than this sciml_zoo reads \(2\): pip install --upgrade",
    ),
    "version 1 without hyperparameters": (config(format_version=1), r"format_version 1: missing key 'hyperparameters'"),
    "unknown key": (config(licens="MIT"), r"config\.json: unknown key 'licens'"),
    "no golden tolerances": (config(golden=...), r"missing key 'golden'"),
    "negative tolerance": (config(golden={"rtol": -1, "atol": 0}), r"tolerances cannot be negative"),
    "config is a list": (config(config=[]), r"config\.json\.config: expected an object, found a list"),
    "unknown architecture": (
        config(architecture="toy_liner"),
        r"config\.json: unknown architecture 'toy_liner': did you",
    ),
    "architecture is a path": (config(architecture="../../x"), r"unknown architecture '\.\./\.\./x'"),
    "architecture is a number": (config(architecture=3), r"architecture: expected str, found 3"),
    "future architecture": (
        config(architecture_version=3),
        r"architecture_version 3 of 'toy_linear' is newer .* upgrade",
    ),
    "architecture version 0": (config(architecture_version=0), r"architecture_version 0 .* cannot be migrated"),
    "unknown config key": (model_config(widht=5), r"config: unknown key 'widht': did you mean 'width'\?"),
    "missing config key": (model_config(width=...), r"config: missing key 'width'"),
    "wrong type in config": (model_config(width="5"), r"config\.width: expected int, found the string '5'"),
    "wrong type in a tuple": (model_config(rates=[0.1, None]), r"config\.rates\[1\]: expected float, found None"),
    "config that the class refuses": (model_config(width=0), r"config: width must be between 1 and 999, not 0"),
    "config that the model refuses": (
        model_config(width=999),
        r"has shape \[2, 5\], but the config asks for \[2, 999\]",
    ),
    # tensors against configuration
    "shape mismatch": (
        tensors(linear__weight=torch.ones(5, 2)),
        r"'linear\.weight' has shape \[5, 2\], but the config asks for \[2, 5\]",
    ),
    "missing tensor": (tensors(linear__bias=...), r"missing tensor 'linear\.bias', which this config needs"),
    "unexpected tensor": (
        tensors(linear__bais=torch.ones(2)),
        r"unexpected tensor 'linear\.bais': did you mean 'linear\.",
    ),
    "wrong kind of number": (
        tensors(linear__bias=torch.ones(2, dtype=torch.int32)),
        r"int32, which cannot become .*float32",
    ),
    "not a number": (
        tensors(linear__bias=torch.tensor([1, torch.nan])),
        r"1 of 2 values of 'linear\.bias' are not finite",
    ),
    "infinite": (tensors(linear__bias=torch.tensor([-torch.inf, torch.inf])), r"2 of 2 values of 'linear\.bias'"),
    "tied weights that differ": (
        tensors(tied__weight=torch.ones(2, 5)),
        r"'linear\.weight' and 'tied\.weight' are one weight of this model, but differ",
    ),
    # paths
    "config leads out": (
        link_outside("config.json"),
        r"config\.json is a link that leads out of the checkpoint directory",
    ),
    "weights lead out": (link_outside("model.safetensors"), r"is a link that leads out of the checkpoint directory"),
    "golden leads out": (link_outside("golden.safetensors"), r"is a link that leads out of the checkpoint directory"),
    "weights lead out by a directory": (linked_through_a_directory, r"is a link that leads out"),
    "loop of links": (loop_of_links, r"cannot be read"),
    "pipe in place of a file": (pipe, r"config\.json is not a regular file"),
    "directory in place of a file": (
        lambda d: (remove("config.json")(d), (d / "config.json").mkdir()),
        r"config\.json is not a regular file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_checkpoint_is_refused(case: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent)
    load_model(f"local-dir:{saved}")
    damage, message = CASES[case]
    damage(saved)
    with pytest.raises(InputError, match=message) as caught:
        load_model(f"local-dir:{saved}")
    assert str(saved) in str(caught.value)
    assert not Path("exploded").exists()


def test_every_truncation_is_refused(saved: Path) -> None:
    content = (saved / "model.safetensors").read_bytes()
    for length in range(len(content)):
        with pytest.raises(InputError, match=r"truncated"):
            unpack(content[:length], "here")


def test_a_header_that_begins_like_a_pickle_is_read() -> None:
    # A header of 128 = 0x80 bytes begins with the byte that begins a pickle.
    found = {pack({"x" * n: torch.ones(1)})[0]: n for n in range(1, 200)}
    assert unpack(pack({"x" * found[0x80]: torch.ones(1)}), "here")["x" * found[0x80]] == 1


def test_random_damage_is_loaded_or_refused_but_never_crashes(saved: Path) -> None:
    random = Random(0)
    errors = []
    for _ in range(300):
        path = saved / random.choice(["config.json", "model.safetensors", "golden.safetensors"])
        content = path.read_bytes()
        damaged = bytearray(content)
        start = random.randrange(min(len(damaged), 600))
        damaged[start : start + random.choice([0, 1, 1, 4])] = random.randbytes(random.choice([0, 1, 1, 4]))
        path.write_bytes(damaged)
        try:
            verify(f"local-dir:{saved}")
        except (InputError, FailureError) as error:
            errors.append(str(error))
        path.write_bytes(content)
    assert len(errors) > 150
    assert all(str(saved) in error for error in errors)
