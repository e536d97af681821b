"""Images: the digits of scikit-learn as they are published, files that mean the same, and what is refused."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sciml_zoo.adversarial.data import digits, load_images
from sciml_zoo.errors import InputError


def table(pixels: np.ndarray, labels: list[object] | None, at: int = 0) -> str:
    """A CSV text with the label in column ``at``."""
    rows = [[f"p{i}" for i in range(pixels.shape[1])], *pixels.tolist()]
    if labels is not None:
        for row, label in zip(rows, ["label", *labels], strict=True):
            row.insert(at, label)
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).random((3, 16)).round(4)


def test_the_two_parts_are_all_published_digits_once():
    train, test = digits()
    published, labels = load_digits(return_X_y=True)
    assert (len(train), len(test)) == (1200, 597)
    found = np.concatenate([part.images.flatten(1).numpy() * 16 for part in (train, test)])
    known = np.column_stack([published, labels])
    ours = np.column_stack([found, torch.cat([train.labels, test.labels])])
    assert np.array_equal(ours[np.lexsort(ours.T)], known[np.lexsort(known.T)])


def test_the_parts_are_stratified_and_always_the_same():
    train, test = digits()
    counts = [np.bincount(part.labels, minlength=10) / len(part) for part in (train, test)]
    assert abs(counts[0] - counts[1]).max() < 1 / 597
    again = load_images("sklearn:digits/test")
    assert torch.equal(again.images, test.images)
    assert torch.equal(again.labels, test.labels)
    assert (test.images.dtype, test.labels.dtype, test.images.shape[1:]) == (torch.float32, torch.int64, (1, 8, 8))


@pytest.mark.parametrize("at", [0, 5, 16])
def test_a_table_means_the_same_wherever_its_label_stands(pixels, at, tmp_path):
    path = tmp_path / "images.csv"
    path.write_text(table(pixels, [4, 0, 12], at))
    found = load_images(path)
    np.testing.assert_allclose(found.images.reshape(3, 16).numpy(), pixels, atol=1e-7)
    assert found.labels.tolist() == [4, 0, 12]


@pytest.mark.parametrize("shape", [(3, 16), (3, 4, 4), (3, 1, 4, 4)])
def test_arrays_mean_the_same_in_each_shape(pixels, shape, tmp_path):
    np.savez(tmp_path / "images.npz", images=pixels.reshape(shape), labels=[4, 0, 12])
    found = load_images(tmp_path / "images.npz")
    assert torch.equal(found.images, torch.from_numpy(pixels).float().reshape(3, 1, 4, 4))
    assert found.labels.tolist() == [4, 0, 12]


def test_labels_may_be_missing_where_none_are_asked_for(pixels, tmp_path):
    np.savez(tmp_path / "images.npz", images=pixels)
    (tmp_path / "none.csv").write_text(table(pixels, None))
    (tmp_path / "empty.csv").write_text(table(pixels, ["", "", ""]))
    for name in ("images.npz", "none.csv", "empty.csv"):
        found = load_images(tmp_path / name, labelled=False)
        assert found.labels is None
        np.testing.assert_allclose(found.images.flatten(1).numpy(), pixels, atol=1e-7)
        with pytest.raises(InputError, match="label"):
            load_images(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        ((1, 6, 1.5), [1, 2, 3], r"line 3: pixel 7 is 1\.5, outside \[0, 1\]; divide"),
        ((1, 6, -0.5), [1, 2, 3], r"line 3: pixel 7 is -0\.5, outside \[0, 1\]$"),
        ((2, 0, np.nan), [1, 2, 3], "line 4: pixel 1 is nan"),
        (None, [1, "", 3], "line 3: no label"),
        (None, [1, 2, "x"], "line 4: label 'x' is not 0, 1, 2"),
        (None, [1, 2.5, 3], "line 3: label '2.5'"),
        (None, [-1, 2, 3], "line 2: label '-1'"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(pixels, change, labels, message, tmp_path):
    if change is not None:
        pixels[change[:2]] = change[2]
    path = tmp_path / "images.csv"
    path.write_text(table(pixels, labels))
    with pytest.raises(InputError, match=message) as caught:
        load_images(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the head must name one column 'label'"),
        ("label,a,b,c,d\n", "no images after the head"),
        ("a,b,c,d\n0,0,0,0\n", "line 1: the head must name one column 'label', and the pixels; it is 'a,b,c,d'"),
        ("label,a,b,c,d,label\n0,0,0,0,0,0\n", "line 1"),
        ("label,a,b,c,d\n1,0,0,0,0\n1,0,0,0\n", "line 3: 4 values, where the head has 5"),
        ("label,a,b,c,d\n1,0,0,0,0\n1,0,oak,0,0\n", "line 3, column 'b': 'oak' is not a number"),
        ("label,a,b,c\n1,0,0,0\n", "line 2: 3 pixels do not make a square"),
        ("label\n1\n", "line 2: 0 pixels do not make a square"),
    ],
)
def test_a_wrong_table_is_refused(text, message, tmp_path):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        load_images(tmp_path / "images.csv")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros((2, 4, 4)), "labels": [0, 1]}, "no array 'images'; did you mean 'image'"),
        ({"images": np.zeros((2, 4, 4))}, "no array 'labels'"),
        ({"images": np.zeros((2, 4, 5)), "labels": [0, 1]}, "4×5 pixels are not square"),
        ({"images": np.zeros((2, 3, 4, 4)), "labels": [0, 1]}, r"images of shape \[2, 3, 4, 4\]"),
        ({"images": np.zeros((0, 4, 4)), "labels": []}, r"images of shape \[0, 4, 4\]"),
        ({"images": np.full((2, 4, 4), "a"), "labels": [0, 1]}, "not numbers"),
        ({"images": np.full((2, 4, 4), 255), "labels": [0, 1]}, r"row 0: pixel 1 is 255.* such as 16 or 255"),
        ({"images": np.zeros((2, 4, 4)), "labels": [0]}, r"an integer for each image, \[2\]"),
        ({"images": np.zeros((2, 4, 4)), "labels": ["a", "b"]}, "an integer for each image"),
        ({"images": np.zeros((2, 4, 4)), "labels": [0, np.nan]}, "row 1: label nan is missing"),
        ({"images": np.zeros((2, 4, 4)), "labels": [-1, 0]}, "row 0: label -1"),
    ],
)
def test_wrong_arrays_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_images(tmp_path / "images.npz")


def test_what_is_no_file_of_images_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"did you mean 'sklearn:digits/t"):
        load_images("sklearn:digits/tests")
    with pytest.raises(InputError, match="no such file"):
        load_images(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"ends in \.npz or \.csv"):
        load_images(tmp_path / "images.png")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        load_images(tmp_path / "broken.npz")
    (tmp_path / "latin.csv").write_bytes(b"label,\xe9\n")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        load_images(tmp_path / "latin.csv")
