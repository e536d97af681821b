import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from sciml_zoo.datasets import UnknownDatasetError, UnknownFileError, get_dataset, list_datasets
from sciml_zoo.errors import InputError

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = [dataset.name for dataset in list_datasets()]
DATA = os.environ.get("SCIML_ZOO_DATA", "")  # before the fixture hides it


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_says_whose_it_is(name):
    dataset = get_dataset(name)
    assert dataset.licence.strip()
    assert dataset.source.strip()
    assert dataset.summary.strip()
    assert dataset.files or dataset.name == "samples"
    assert all(file.upstream for file in dataset.files) or dataset.download


@pytest.mark.parametrize("name", NAMES)
def test_paths_stay_inside_and_hashes_are_hashes(name):
    dataset = get_dataset(name)
    paths = [PurePosixPath(dataset.folder)] + [PurePosixPath(file.path) for file in dataset.files]
    assert not any(path.is_absolute() or ".." in path.parts for path in paths)
    assert len({file.path.removesuffix(".gz") for file in dataset.files}) == len(dataset.files)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 0 for file in dataset.files)


@pytest.mark.parametrize("name", NAMES)
def test_addresses_are_pinned_and_say_how_their_hash_is_known(name):
    for file in get_dataset(name).files:
        if file.upstream is None:
            continue
        pinned = r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/\S+"
        assert re.fullmatch(pinned, file.upstream.url)
        assert file.upstream.url.endswith(f"/{file.upstream.name}")
        known = file.upstream.sha256 is not None
        assert known == (file.upstream.size is not None)
        assert file.upstream.sha256_of in ({"upstream", "local-copy"} if known else {None})


def test_no_two_data_sets_share_a_folder():
    folders = [dataset.folder for dataset in list_datasets()]
    assert len(set(folders)) == len(folders)


def test_patterns_and_domains_select():
    assert [dataset.name for dataset in list_datasets("rmd17_*")] == ["rmd17_aspirin", "rmd17_ethanol"]
    assert [dataset.name for dataset in list_datasets("mlearn_[sm]*", domain="potentials")] == [
        "mlearn_mo",
        "mlearn_si",
    ]
    assert list_datasets("rmd17_*", domain="ising") == []
    assert {dataset.domain for dataset in list_datasets()} == {"all", "potentials", "splicing", "emissions", "ising"}


@pytest.mark.parametrize(("typo", "meant"), [("rmd17_etanol", "rmd17_ethanol"), ("ACAC", "acac"), ("g_set", "gset")])
def test_a_misspelt_name_is_answered_with_the_nearest(typo, meant):
    with pytest.raises(UnknownDatasetError, match=meant):
        get_dataset(typo)


def test_a_misspelt_domain_is_answered_with_the_nearest():
    with pytest.raises(UnknownDatasetError, match="did you mean 'ising'"):
        list_datasets(domain="isin")


def test_files_are_found_with_and_without_gz():
    dataset = get_dataset("rmd17_ethanol")
    assert dataset.file("train.xyz") is dataset.file("train.xyz.gz")
    assert dataset.file("isolated_atoms.xyz.gz").path == "isolated_atoms.xyz"
    with pytest.raises(UnknownFileError, match=r"did you mean 'train\.xyz\.gz'"):
        dataset.file("trian.xyz")
    with pytest.raises(UnknownFileError, match="its 265 files are listed by") as raised:
        get_dataset("biqmac").file("????")
    assert isinstance(raised.value, InputError)


def test_benchmark_sets_can_be_downloaded_whole():
    for name in ("rmd17_ethanol", "acac", "3bpa", "mlearn_si", "mlearn_mo", "mlearn_li", "rna"):
        assert all(file.upstream for file in get_dataset(name).files), name


def test_training_files_have_a_hash_to_be_checked_against():
    for dataset in list_datasets(domain="potentials"):
        for file in dataset.files:
            if file.upstream is not None and "test" not in file.path:
                assert file.upstream.sha256 is not None


def test_importing_the_catalogue_loads_no_heavy_library():
    code = "import sys, sciml_zoo.datasets; print({'torch', 'numpy', 'pandas', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.data
def test_the_catalogue_covers_the_checksums_of_the_data():
    sums = {}
    for line in Path(DATA, "SHA256SUMS").read_text().splitlines():
        digest, path = line.split(maxsplit=1)
        sums[path] = digest
    listed = {f"{dataset.folder}/{file.path}": file for dataset in list_datasets() for file in dataset.files}
    assert {path: file.sha256 for path, file in listed.items()} == sums
    for path, file in listed.items():
        assert Path(DATA, path).stat().st_size == file.size


@pytest.mark.data
def test_the_script_writes_the_catalogue_that_is_in_the_package(tmp_path):
    output = tmp_path / "catalog.json"
    command = [sys.executable, str(SCRIPTS / "make_catalog.py"), "--data", DATA, "--output", str(output)]
    subprocess.run(command, check=True, timeout=60)
    packaged = SCRIPTS.parent / "sciml_zoo" / "datasets" / "catalog.json"
    assert output.read_text() == packaged.read_text()
