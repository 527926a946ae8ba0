"""The embedded default: a legal, small, working model and a balanced data set."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from microtune.embedded import DATA, MODEL
from microtune.ir.evaluate import evaluate
from microtune.ir.macs import graph_macs
from microtune.ir.modelfile import load_model


def test_data_set_is_balanced_and_licensed() -> None:
    with np.load(DATA, allow_pickle=False) as data:
        images, label, test = data["images"], data["label"], data["test"]
        classes = data["classes"]
    assert images.shape == (1600, 28, 28) and images.dtype == np.uint8
    assert list(classes) == ["T-shirt/top", "Pullover", "Dress", "Coat", "Shirt"]
    assert np.bincount(label[~test]).tolist() == [200] * 5
    assert np.bincount(label[test]).tolist() == [120] * 5
    assert DATA.stat().st_size <= 2_000_000
    assert "MIT License" in DATA.with_name("LICENSE.fashion-mnist").read_text()


def test_no_test_image_is_a_training_image() -> None:
    with np.load(DATA) as data:
        images, test = data["images"], data["test"]
    train = {image.tobytes() for image in images[~test]}
    assert not any(image.tobytes() in train for image in images[test])


def test_model_is_small_and_knows_other_classes() -> None:
    model = load_model(MODEL)
    with np.load(DATA) as data:
        assert not set(model.classes) & set(data["classes"].tolist())
    assert MODEL.stat().st_size <= 300_000
    assert model.graph.quant("input").scale == 1 / 128
    assert model.graph.quant("input").zero_point == 0
    assert model.graph.tensors["pool"].shape == (1, 1, 1, 128)
    assert graph_macs(model.graph)[0] < 2_500_000


def test_int8_features_tell_tops_apart_but_leave_room() -> None:
    graph = load_model(MODEL).graph
    with np.load(DATA) as data:
        chosen = np.concatenate(
            [np.flatnonzero(~data["test"])[:200], np.flatnonzero(data["test"])[:200]]
        )
        images, label = data["images"][chosen], data["label"][chosen]
    frames = (images.astype(np.int16) - 128).astype(np.int8).reshape(-1, 1, 28, 28, 1)
    features = np.stack(
        [evaluate(graph, {"input": f}, keep={"pool"})["pool"].reshape(-1) for f in frames]
    ).astype(np.float64)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    probe.fit(features[:200], label[:200])
    assert 0.5 < probe.score(features[200:], label[200:]) < 0.9
