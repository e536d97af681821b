"""Importing the package, and listing its models, is cheap: no torch, no domain."""

import subprocess
import sys
import time

import pytest

import sciml_zoo

HEAVY = ("torch", "numpy", "pandas", "scipy", "ase", "lightning_fabric", "torch_geometric", "huggingface_hub")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import sciml_zoo",
        "import sciml_zoo; sciml_zoo.list_models(), sciml_zoo.list_models(pretrained=True), sciml_zoo.__version__",
        "import sciml_zoo; sciml_zoo.list_models(domain='potentials'), sciml_zoo.register_model",
        "import sciml_zoo.zoo.registry, sciml_zoo.zoo.manifest, sciml_zoo.zoo.card",
        "from sciml_zoo.zoo.resolve import resolve, load_model, weights_cache; weights_cache()",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    loaded = run(f"{statement}\nimport sys; print(*sys.modules)").split()
    assert "sciml_zoo" in loaded
    domains = ("sciml_zoo.potentials", "sciml_zoo.ising")
    assert not [name for name in loaded if name in HEAVY or name.startswith(domains)]


def test_a_domain_is_light_until_it_is_used() -> None:
    loaded = run("import sciml_zoo.ising, sciml_zoo.potentials\nimport sys; print(*sys.modules)").split()
    assert "sciml_zoo.ising" in loaded
    assert not [name for name in loaded if name in (*HEAVY, "numba", "dimod", "matplotlib")]


def test_ground_states_need_no_torch() -> None:
    assert "torch" not in run("import sciml_zoo.ising.ground_states\nimport sys; print(*sys.modules)").split()


def test_import_costs_at_most_a_fifth_of_a_second() -> None:
    code = "import time; start = time.perf_counter(); import sciml_zoo; print(time.perf_counter() - start)"
    assert min(float(run(code)) for _ in range(3)) <= 0.2


def test_listing_costs_at_most_a_second() -> None:
    def seconds(code: str) -> float:
        start = time.perf_counter()
        run(code)
        return time.perf_counter() - start

    listing = "import sciml_zoo; sciml_zoo.list_models(pretrained=True)"
    assert min(seconds(listing) for _ in range(3)) - min(seconds("pass") for _ in range(3)) <= 1.0


def test_every_promised_name_is_there() -> None:
    for name in sciml_zoo.__all__:
        assert getattr(sciml_zoo, name)
        assert name in dir(sciml_zoo)
    assert callable(sciml_zoo.verify)
    with pytest.raises(AttributeError, match="has no attribute 'load_modle'"):
        sciml_zoo.load_modle  # noqa: B018
